//! The models of the lifecycle.

use models::lifecycle::phases;

macro_rules! explored {
    ($($of:ident::$model:ident),+ $(,)?) => {
        $(#[test]
        fn $model() {
            $of::$model();
        })+
    };
}

explored!(
    phases::who_waits_for_a_phase_hears_of_it,
    phases::a_phase_never_goes_back_whoever_moves_it,
    phases::a_stream_ends_when_draining_begins,
    phases::a_socket_says_goodbye_when_draining_begins,
    phases::a_time_begins_with_the_drain,
);
