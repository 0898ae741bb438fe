/*
 * contract_erasure - what holds of erasure jobs wherever their rows stand. See contract.h.
 */
#include "contract.h"

#include "account/audit.h"
#include "account/erasure.h"

static uint64_t
ask_erasure(struct account *account, const struct selection *selection)
{
    const struct erasure wanted = {.reason = ERASURE_UNDO, .selection = *selection};
    struct diag diag = DIAG_INIT;
    uint64_t id = 0;

    if (erasure_add(account, &ann, &wanted, &id, &diag) != ERR_OK)
        fail_msg("%s", diag.message);
    return id;
}

void
test_erasure__goes_through_its_states_and_forgets_the_person(void **state)
{
    struct account *account = contract_open_with_project(state);
    const struct selection person = {
        .project_id = 1, .kind = SELECTION_PERSON, .person = SLICE("a-person-to-forget")};
    uint64_t id = ask_erasure(account, &person);
    struct erasure *job = NULL;
    struct erasure found;
    struct lines lines = {.text = ""};
    const struct audit_question question = {.to_us = 5000, .limit = 100};

    assert_int_equal(erasure_next(account, "", &job, NULL), ERR_OK);
    assert_int_equal(job->id, id);
    assert_int_equal(job->state, ERASURE_WAITING);
    assert_true(slice_equal(job->selection.person, SLICE("a-person-to-forget")));
    assert_string_equal(job->position, "");
    job->state = ERASURE_IN_STORE;
    job->selection.seq_max = UINT64_MAX;
    job->selection.received_max_us = INT64_MAX;
    memcpy(job->position, "1.0.2a", 7);
    memcpy(job->person_hash, "0123456789abcdef0123456789abcdef", 33);
    assert_int_equal(erasure_progress(account, "", job, NULL), ERR_OK);
    erasure_free(&job);
    assert_int_equal(erasure_next(account, "", &job, NULL), ERR_OK);
    assert_int_equal(job->state, ERASURE_IN_STORE);
    assert_true(job->selection.seq_max == UINT64_MAX);
    assert_true(job->selection.received_max_us == INT64_MAX);
    assert_string_equal(job->position, "1.0.2a");
    job->selection.seq_max = 5;
    job->selection.received_max_us = 77;
    job->events = 3;
    job->state = ERASURE_DONE;
    assert_int_equal(erasure_progress(account, "", job, NULL), ERR_OK);
    assert_int_equal(erasure_progress(account, "", job, NULL), ERR_OK); /* twice is once */
    erasure_free(&job);
    assert_int_equal(erasure_next(account, "", &job, NULL), ERR_ABSENT);
    assert_int_equal(erasure_get(account, id, &found, NULL), ERR_OK);
    assert_int_equal(found.state, ERASURE_DONE);
    assert_int_equal(found.events, 3);
    assert_string_equal(found.person, "");
    assert_int_equal(found.finished_at_us, 1000);
    assert_false(home.holds(state, "a-person-to-forget", 18));
    assert_int_equal(audit_list(account, &question, contract_gather, &lines, NULL), ERR_OK);
    assert_non_null(
        strstr(lines.text, "erasure.done/1/erasure 1/3 events, person 0123456789abcdef"));
    assert_ptr_equal(strstr(strstr(lines.text, "erasure.done") + 1, "erasure.done"), NULL);
    account_close(&account);
}

void
test_erasure__brings_its_ids_back_sorted(void **state)
{
    enum { IDS = 40000 };
    struct account *account = contract_open_with_project(state);
    struct slice *ids = MEM_NEW(struct slice, IDS);
    char *texts = mem_alloc((size_t)IDS * 40);
    struct selection selection = {.project_id = 1, .kind = SELECTION_IDS, .id_count = IDS};
    struct erasure *job = NULL;

    assert_true(ids != NULL && texts != NULL);
    for (size_t i = 0; i < IDS; i++) {
        int len = snprintf(texts + i * 40, 40, "id-%032zx", (i * 2654435761u) % 1000003);

        ids[i] = slice_of(texts + i * 40, (size_t)len);
    }
    selection.ids = ids;
    (void)ask_erasure(account, &selection);
    assert_int_equal(erasure_next(account, "", &job, NULL), ERR_OK);
    assert_int_equal(selection_sort_ids(ids, IDS), job->selection.id_count);
    for (uint32_t i = 0; i < job->selection.id_count; i++)
        assert_true(slice_equal(ids[i], job->selection.ids[i]));
    job->state = ERASURE_DONE;
    assert_int_equal(erasure_progress(account, "", job, NULL), ERR_OK);
    assert_false(home.holds(state, ids[17].ptr, ids[17].len));
    erasure_free(&job);
    mem_free(ids);
    mem_free(texts);
    account_close(&account);
}

static void
count_one(void *state, const struct erasure *erasure)
{
    (void)erasure;
    (*(int *)state)++;
}

void
test_erasure__deleting_a_project_frees_its_name_and_ends_its_keys(void **state)
{
    struct account *account = contract_open_with_project(state);
    struct account_project shop = {.name = "shop", .time_zone = "UTC"};
    struct login login = contract_add_login(account, "ann@example.com", false);
    char text[ACCOUNT_KEY_TEXT_BYTES + 1];
    struct account_list list;
    struct login_list logins;
    struct account_key key;
    struct erasure *job = NULL;
    uint64_t id = 0;
    int count = 0;

    assert_int_equal(account_project_add(account, &ann, &shop, &shop, NULL), ERR_OK);
    assert_int_equal(account_key_new(account, &ann, 2, ACCOUNT_KEY_READ, "n", 0, text, &key, NULL),
                     ERR_OK);
    assert_int_equal(login_set_role(account, &ann, login.id, 2, LOGIN_ROLE_OWNER, NULL), ERR_OK);
    assert_int_equal(erasure_delete_project(account, &ann, 2, &id, NULL), ERR_OK);
    assert_int_equal(erasure_delete_project(account, &ann, 2, &id, NULL), ERR_ABSENT);
    assert_int_equal(erasure_delete_project(account, &ann, 1, &id, NULL), ERR_CONFLICT);
    assert_int_equal(account_list(account, &list, NULL), ERR_OK);
    assert_int_equal(list.project_count, 1);
    assert_int_equal(list.key_count, 0);
    account_list_free(&list);
    assert_int_equal(login_list(account, &logins, NULL), ERR_OK);
    assert_int_equal(logins.membership_count, 0);
    login_list_free(&logins);
    assert_int_equal(erasure_next(account, "", &job, NULL), ERR_OK);
    assert_int_equal(job->selection.kind, SELECTION_ALL);
    assert_int_equal(job->reason, ERASURE_PROJECT);
    assert_true(job->frees_ids);
    erasure_free(&job);
    assert_int_equal(erasure_list(account, 2, 10, count_one, &count, NULL), ERR_OK);
    assert_int_equal(erasure_list(account, 1, 10, count_one, &count, NULL), ERR_OK);
    assert_int_equal(count, 1);
    assert_int_equal(account_project_add(account, &ann, &shop, &shop, NULL), ERR_OK);
    assert_int_equal(shop.id, 3);
    account_close(&account);
}

void
test_erasure__open_ones_have_a_maximum(void **state)
{
    struct account *account = contract_open_with_project(state);
    const struct selection range = {
        .project_id = 1, .kind = SELECTION_RECEIVED, .from_us = 1, .to_us = 2};
    struct erasure wanted = {.reason = ERASURE_UNDO, .selection = range};
    struct account_project shop = {.name = "shop", .time_zone = "UTC"};
    uint64_t id = 0;

    home.add_erasures(state, ERASURE_OPEN_MAX - 1);
    assert_int_equal(erasure_add(account, &ann, &wanted, &id, NULL), ERR_OK);
    assert_int_equal(erasure_add(account, &ann, &wanted, &id, NULL), ERR_FULL);
    /* another project's do not count */
    assert_int_equal(account_project_add(account, &ann, &shop, &shop, NULL), ERR_OK);
    wanted.selection.project_id = shop.id;
    assert_int_equal(erasure_add(account, &ann, &wanted, &id, NULL), ERR_OK);
    account_close(&account);
}
