/*
 * contract - tests of account.h that every backend must pass. A test program defines `home` and
 * lists CONTRACT_TESTS(…) with a setup of its own.
 */
#ifndef POTIK_TEST_ACCOUNT_CONTRACT_H
#define POTIK_TEST_ACCOUNT_CONTRACT_H

#include "../test.h"

#include "account/account.h"

struct home {
    /* Another link; `fake` is its clock, begun anew at 1000. seed 0: the system's randomness. */
    struct account *(*open)(void **state, uint64_t seed);
    void (*add_keys)(void **state, uint32_t count); /* of project 1, by another program's hand */
    /* Whether these bytes stand anywhere in what is stored. */
    bool (*holds)(void **state, const void *bytes, size_t len);
};
extern const struct home home;
extern struct clock_fake fake;

void test_account__default_project_is_made_once(void **state);
void test_account__key_is_shown_once_and_stored_as_its_hash(void **state);
void test_account__key_text_is_base32_of_the_random_bytes(void **state);
void test_account__revoke_by_id_or_text_keeps_the_first_time(void **state);
void test_account__names_have_limits(void **state);
void test_account__keys_have_a_maximum(void **state);
void test_account__first_keys_are_those_of_one(void **state);
void test_account__of_many_who_start_at_once_one_is_first(void **state);
void test_account__sees_what_another_link_commits(void **state);

#define CONTRACT_TESTS(with)                                                                       \
    with(test_account__default_project_is_made_once),                                              \
        with(test_account__key_is_shown_once_and_stored_as_its_hash),                              \
        with(test_account__key_text_is_base32_of_the_random_bytes),                                \
        with(test_account__revoke_by_id_or_text_keeps_the_first_time),                             \
        with(test_account__names_have_limits), with(test_account__keys_have_a_maximum),            \
        with(test_account__first_keys_are_those_of_one),                                           \
        with(test_account__of_many_who_start_at_once_one_is_first),                                \
        with(test_account__sees_what_another_link_commits)

#endif
