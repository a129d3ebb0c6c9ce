//! How the work is spread changes no byte.

use super::*;

#[test]
fn no_setting_changes_a_byte() {
    for family in FAMILIES {
        let jobs = mixed_jobs();
        let want: Vec<Response> = jobs
            .iter()
            .map(|job| {
                run(
                    &load(Tiny::new(family, 5), STRAIGHT),
                    STRAIGHT,
                    std::slice::from_ref(job),
                )
                .remove(0)
            })
            .collect();
        for threads in [1, 2, 3] {
            for batch_size in [1, 8, 100] {
                for share_prefixes in [false, true] {
                    let way = Way {
                        threads,
                        batch_size,
                        share_prefixes,
                        ..STRAIGHT
                    };
                    let network = load(Tiny::new(family, 5), way);
                    let what = format!(
                        "{family:?}, {threads} threads, batch {batch_size}, shared {share_prefixes}"
                    );
                    assert_same(&what, &want, &run(&network, way, &jobs));
                    // Again, with every prefix known; then in another order, with a small memory.
                    assert_same(&format!("{what}, again"), &want, &run(&network, way, &jobs));
                    let mut turned: Vec<_> = jobs.clone();
                    turned.rotate_left(5);
                    turned.reverse();
                    let mut answers = run(&network, way, &turned);
                    answers.reverse();
                    answers.rotate_right(5);
                    assert_same(&format!("{what}, turned"), &want, &answers);
                }
            }
        }
    }
}

#[test]
fn a_small_memory_and_split_calls_change_no_byte() {
    let jobs = mixed_jobs();
    let want = run(
        &load(Tiny::new(Family::Gemma3, 6), STRAIGHT),
        STRAIGHT,
        &jobs,
    );
    for cache_bytes in [0, 60_000, 200_000] {
        let way = Way {
            share_prefixes: true,
            batch_size: 3,
            cache_bytes,
            ..STRAIGHT
        };
        let network = load(Tiny::new(Family::Gemma3, 6), way);
        for n in [1, 2, 5] {
            let answers: Vec<_> = jobs
                .chunks(n)
                .flat_map(|part| run(&network, way, part))
                .collect();
            assert_same(
                &format!("{cache_bytes} bytes, calls of {n}"),
                &want,
                &answers,
            );
        }
    }
}

#[test]
fn every_instruction_set_gives_the_same_bytes() {
    for family in [Family::Llama, Family::Gemma3] {
        let want = run(
            &load(Tiny::new(family, 7), STRAIGHT),
            STRAIGHT,
            &mixed_jobs(),
        );
        for isa in Isa::available() {
            let way = Way {
                isa: Some(isa),
                share_prefixes: true,
                batch_size: 8,
                ..STRAIGHT
            };
            assert_same(
                &format!("{isa:?}"),
                &want,
                &run(&load(Tiny::new(family, 7), way), way, &mixed_jobs()),
            );
        }
    }
}
