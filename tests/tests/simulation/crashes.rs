//! A process dies at every call that it makes, before it and after it.

use hakken_tests::sim::{
    mortal::{Death, Point},
    story::{Told, tell},
};

fn told(death: Option<(usize, Death)>) -> Told {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(tell(death)).unwrap_or_else(|wrong| panic!("{death:?}: {wrong}"))
}

/// Every way to die of this call.
fn deaths(point: Point) -> Vec<Death> {
    let torn = (1..point.streams).map(Death::Torn);
    let after = point.is_done.then_some(Death::After);
    [Death::Before].into_iter().chain(torn).chain(after).collect()
}

#[test]
fn a_process_that_dies_at_any_point_leaves_nothing_half_done() {
    let whole = told(None);
    assert_eq!(whole.died, None);
    let all: Vec<(usize, Death)> = (1..)
        .zip(&whole.points)
        .flat_map(|(nth, point)| deaths(*point).into_iter().map(move |death| (nth, death)))
        .collect();
    let check = |deaths: &[(usize, Death)]| {
        for (nth, death) in deaths {
            let cut = told(Some((*nth, *death)));
            let (point, _) = cut.died.unwrap_or_else(|| panic!("nobody died at call {nth}"));
            assert_eq!(point.port, whole.points[nth - 1].port, "another story at call {nth}");
            assert_eq!(cut.kinds, whole.kinds, "{death:?} at call {nth}, {}", point.port);
        }
    };
    let (left, right) = all.split_at(all.len() / 2);
    std::thread::scope(|scope| {
        let left = scope.spawn(move || check(left));
        check(right);
        left.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let mut ports: Vec<&str> = whole.points.iter().map(|point| point.port).collect();
    println!("{} calls to ports, {} deaths", ports.len(), all.len());
    ports.sort_unstable();
    ports.dedup();
    // A story that waits for fewer ports proves less.
    assert_eq!(
        ports,
        [
            "append",
            "feed",
            "head",
            "load checkpoint",
            "load snapshot",
            "provider",
            "read stream",
            "save checkpoint",
            "save snapshot"
        ]
    );
}
