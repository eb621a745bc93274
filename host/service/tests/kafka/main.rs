//! Ingest from Apache Kafka itself: loads whose windows are known, faults, kills.
//!
//! One broker serves all tests but the one on fail-over. `make kafka` brings the broker's libraries.

mod broker;
mod doctor;
mod kills;
mod load;
mod many;
mod members;
mod reader;
mod tests;
mod told;

use std::process::ExitCode;
use std::sync::Mutex;

use broker::Cluster;
use libtest_mimic::{Arguments, Trial};

/// The broker all tests share.
static SHARED: Mutex<Option<Cluster>> = Mutex::new(None);

fn main() -> ExitCode {
    reader::run_child();
    many::run_child();
    let mut arguments = Arguments::from_args();
    // The broker and each test keep two cores busy.
    arguments.test_threads = Some(1);
    let tests = [
        ("starts_before_the_broker_and_the_topic", tests::starts_before_the_broker_and_the_topic as fn()),
        ("a_wrong_protocol_is_told", tests::a_wrong_protocol_is_told),
        ("tls_and_a_password_let_in_and_keep_out", tests::tls_and_a_password_let_in_and_keep_out),
        (
            "the_doctor_tells_what_is_wrong_with_topics_and_credentials",
            doctor::the_doctor_tells_what_is_wrong_with_topics_and_credentials,
        ),
        ("windows_are_those_of_the_load", tests::windows_are_those_of_the_load),
        ("unreadable_messages_are_kept_aside", tests::unreadable_messages_are_kept_aside),
        ("kills_lose_nothing_and_double_nothing", tests::kills_lose_nothing_and_double_nothing),
        ("a_broker_that_dies_closes_nothing", tests::a_broker_that_dies_closes_nothing),
        ("an_hour_without_a_broker_closes_nothing", tests::an_hour_without_a_broker_closes_nothing),
        ("a_gap_is_told_and_filled", tests::a_gap_is_told_and_filled),
        ("a_topic_made_anew_is_read_from_its_begin", tests::a_topic_made_anew_is_read_from_its_begin),
        ("one_instance_of_a_group_acts", members::one_instance_of_a_group_acts),
        ("instances_share_the_functions", members::instances_share_the_functions),
        ("a_log_goes_on_after_the_broker_hung", members::a_log_goes_on_after_the_broker_hung),
        ("one_instance_acts_for_all_functions", members::one_instance_acts_for_all_functions),
        ("limited_memory_is_divided_by_demand", members::limited_memory_is_divided_by_demand),
        ("a_gap_is_filled_where_functions_are_shared", members::a_gap_is_filled_where_functions_are_shared),
        ("a_search_outlives_its_instance", members::a_search_outlives_its_instance),
        ("three_nodes_change_their_leader", tests::three_nodes_change_their_leader),
    ];
    let trials = tests.map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.into());
    // Statics are not dropped at the end.
    drop(SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
    conclusion.exit_code()
}
