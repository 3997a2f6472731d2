//! What a request costs that no layer has anything to do for, in allocations.

#[path = "../benches/support/stack.rs"]
mod stack;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[expect(
    unsafe_code,
    reason = "a global allocator is unsafe to write; this one only counts"
)]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of one request, of many that are alike.
fn allocations(mut service: Box<dyn stack::Requests>) -> f64 {
    for _ in 0..50 {
        service.request();
    }
    let before = ALLOCATIONS.with(Cell::get);
    for _ in 0..100 {
        service.request();
    }
    let after = ALLOCATIONS.with(Cell::get);
    f64::from(u32::try_from(after - before).expect("a small number")) / 100.0
}

/// The layers make timers and tasks when they have something to do; here they have not, but
/// constructing them may look for the runtime.
fn in_runtime(check: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let _entered = runtime.enter();
    check();
}

#[test]
fn the_counter_counts() {
    struct Boxes;
    impl stack::Requests for Boxes {
        fn request(&mut self) {
            std::hint::black_box(Box::new(1));
        }
    }
    assert!((allocations(Box::new(Boxes)) - 1.0).abs() < f64::EPSILON);
}

#[test]
fn an_untouched_request_allocates_within_its_budget() {
    in_runtime(|| {
        let bare = allocations(stack::tower_stack("bare"));
        let mut report = String::new();
        for (name, budget) in [
            ("in flight", 0.0),
            ("drain gate", 0.0),
            ("session", 5.0),
            ("lock", 0.0),
            ("all four", 8.0),
        ] {
            let added = allocations(stack::tower_stack(name)) - bare;
            report += &format!("{name}: {added:+.2} of at most {budget}\n");
            assert!(added <= budget, "{report}");
        }
        println!("{report}");
    });
}

#[test]
fn an_untouched_request_allocates_within_its_budget_in_axum() {
    in_runtime(|| {
        let no_ops = allocations(stack::axum_stack("four no-ops"));
        let mut report = String::new();
        for name in ["in flight", "drain gate", "session", "lock"] {
            let added = allocations(stack::axum_stack(name)) - no_ops;
            report += &format!("{name}: {added:+.2}\n");
        }
        let all = allocations(stack::axum_stack("all four")) - no_ops;
        println!("{report}all four: {all:+.2}");
        assert!(all <= 8.0, "{report}all four: {all:+.2} of at most 8");
    });
}
