/*
 * replace - files of a project give way to others, in one step for readers and for a crash.
 *
 * Layer 4, the keeper's thread: merges (the same rows in other files) and erasures (fewer rows).
 */
#ifndef POTIK_WAREHOUSE_REPLACE_H
#define POTIK_WAREHOUSE_REPLACE_H

#include "warehouse/inside.h"

struct replacement {
    struct project *project;
    const struct lexicon *lexicon; /* of the time of the inputs */
    struct data_file *const *inputs;
    uint32_t input_count;
    const struct manifest_file *outputs; /* written, synced */
    uint32_t output_count;
};
/* A number for a file; never given twice. */
uint32_t replace_number(struct project *project);
/* The manifest names the outputs instead of the inputs; these go with their last holder. Its rows
 * and received_min_us follow; seq_max, persons and covered stay. ERR_CANCELLED: the project was
 * discarded meanwhile. On error nothing changed. */
MUST_USE enum err replace_files(const struct replacement *replacement, struct diag *diag);
/* What was written for a manifest that did not come is removed. */
void replace_drop_outputs(const struct replacement *replacement);

#endif
