//! The stress test at any size: `cargo run --release -p isogloss-serve --example stress 10000 200`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    dead_code,
    reason = "a tool for developers"
)]

#[path = "../tests/it/client.rs"]
mod client;
#[path = "../tests/it/model.rs"]
mod model;
#[path = "../tests/it/stress.rs"]
mod stress;

fn main() {
    let numbers: Vec<usize> = std::env::args()
        .skip(1)
        .map(|n| n.parse().unwrap())
        .collect();
    let (n_requests, n_connections) = (numbers[0], numbers[1]);
    let begun = std::time::Instant::now();
    let figures = stress::stress(n_requests, n_connections, 1);
    println!("{figures:#?}\n{:.1} s", begun.elapsed().as_secs_f64());
    let status = isogloss_record::files::read_to_string("/proc/self/status".as_ref());
    for line in status
        .unwrap_or_default()
        .lines()
        .filter(|line| line.starts_with("VmHWM"))
    {
        println!("{line}");
    }
}
