/*
 * contract - tests of account.h and its sisters that hold wherever rows stand. A test program
 * defines `home` and lists CONTRACT_TESTS(…) with a setup of its own.
 */
#ifndef POTIK_TEST_ACCOUNT_CONTRACT_H
#define POTIK_TEST_ACCOUNT_CONTRACT_H

#include "../test.h"

#include "account/audit.h"
#include "account/login.h"

struct home {
    /* Another link; `fake` is its clock, begun anew at 1000. seed 0: the system's randomness. */
    struct account *(*open)(void **state, uint64_t seed);
    void (*add_keys)(void **state, uint32_t count); /* of project 1, by another program's hand */
    /* Whether these bytes stand anywhere in what is stored. */
    bool (*holds)(void **state, const void *bytes, size_t len);
    void (*add_erasures)(void **state, uint32_t count); /* open ones, of project 1 */
    bool (*refuses)(void **state, const char *sql);     /* by another program's hand */
};
extern const struct home home;
extern struct clock_fake fake;
extern const struct account_actor nobody;
extern const struct account_actor ann;

struct lines {
    char text[4000];
    uint64_t last_id;
};
/* For audit_list: actor/action/project/target/detail, a line each; `state` is a struct lines. */
void contract_gather(void *state, const struct audit_line *line);

struct account *contract_open_with_project(void **state); /* project 1, `default` */
struct login contract_add_login(struct account *account, const char *email, bool is_admin);

/* A server tells it by itself, a moment later. */
void contract_wait_for_change(struct account *watcher);

void test_account__projects_are_added_changed_and_their_names_are_unique(void **state);
void test_account__keys_expire_in_the_future_and_know_their_last_use(void **state);
void test_login__emails_are_checked_and_compared_in_lower_case(void **state);
void test_login__the_last_admin_stays(void **state);
void test_login__roles_by_project(void **state);
void test_session__each_refresh_token_is_good_once(void **state);
void test_session__ends_when_its_time_is_over(void **state);
void test_session__logout_and_password_end_sessions(void **state);
void test_session__a_login_has_so_many_at_most(void **state);
void test_audit__each_change_writes_its_line(void **state);
void test_audit__is_only_added_to(void **state);
void test_erasure__goes_through_its_states_and_forgets_the_person(void **state);
void test_erasure__brings_its_ids_back_sorted(void **state);
void test_erasure__deleting_a_project_frees_its_name_and_ends_its_keys(void **state);
void test_erasure__open_ones_have_a_maximum(void **state);
void test_account__tells_loops_only_what_they_must_know(void **state);
void test_account__projects_have_a_maximum(void **state);
void test_login__logins_have_a_maximum(void **state);
void test_login__memberships_have_a_maximum(void **state);
void test_erasure__persons_and_ids_have_limits(void **state);
void test_session__of_many_who_use_a_token_at_once_one_renews(void **state);
void test_login__of_two_admins_made_less_at_once_one_stays(void **state);
void test_account__out_of_memory_changes_nothing(void **state);
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

#define PEOPLE_TESTS(with)                                                                         \
    with(test_account__projects_are_added_changed_and_their_names_are_unique),                     \
        with(test_account__keys_expire_in_the_future_and_know_their_last_use),                     \
        with(test_login__emails_are_checked_and_compared_in_lower_case),                           \
        with(test_login__the_last_admin_stays), with(test_login__roles_by_project),                \
        with(test_session__each_refresh_token_is_good_once),                                       \
        with(test_session__ends_when_its_time_is_over),                                            \
        with(test_session__logout_and_password_end_sessions),                                      \
        with(test_session__a_login_has_so_many_at_most),                                           \
        with(test_audit__each_change_writes_its_line), with(test_audit__is_only_added_to),         \
        with(test_erasure__goes_through_its_states_and_forgets_the_person),                        \
        with(test_erasure__brings_its_ids_back_sorted),                                            \
        with(test_erasure__deleting_a_project_frees_its_name_and_ends_its_keys),                   \
        with(test_erasure__open_ones_have_a_maximum),                                              \
        with(test_account__tells_loops_only_what_they_must_know)

#define LIMIT_TESTS(with)                                                                          \
    with(test_account__projects_have_a_maximum), with(test_login__logins_have_a_maximum),          \
        with(test_login__memberships_have_a_maximum),                                              \
        with(test_erasure__persons_and_ids_have_limits),                                           \
        with(test_session__of_many_who_use_a_token_at_once_one_renews),                            \
        with(test_login__of_two_admins_made_less_at_once_one_stays),                               \
        with(test_account__out_of_memory_changes_nothing)

#endif
