//! The models of locks.

use models::lock::{redis::line, renewing};

macro_rules! explored {
    ($($of:ident::$model:ident),+ $(,)?) => {
        $(#[test]
        fn $model() {
            $of::$model();
        })+
    };
}

explored!(
    line::who_comes_while_the_key_is_let_go_is_served,
    line::who_waits_behind_one_that_asked_in_vain_is_served,
    line::a_line_whose_driver_is_dropped_finds_another_one,
    line::who_leaves_the_line_while_it_is_served_leaves_nothing,
    line::a_rival_is_next_once_it_is_heard_of_and_the_line_is_served_after_it,
    line::who_waits_is_asked_for_where_no_message_would_reach_it,
    renewing::where_a_runtime_ends_renewals_go_on_in_another_one,
    renewing::of_two_who_come_together_one_begins,
);
