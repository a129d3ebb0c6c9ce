//! Real models can be had, by several threads at once, and are GGUF files of the promised size.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::thread;

use isogloss_testkit::model_path;

#[test]
fn real_models_are_there_for_every_test() {
    let check = |name: &str, bytes: u64| {
        let paths = thread::scope(|scope| {
            let calls: Vec<_> = (0..4).map(|_| scope.spawn(|| model_path(name))).collect();
            calls
                .into_iter()
                .map(|call| call.join().unwrap())
                .collect::<Vec<_>>()
        });
        assert!(paths.iter().all(|path| *path == paths[0]));
        assert_eq!(magic(&paths[0]), *b"GGUF");
        assert_eq!(std::fs::metadata(&paths[0]).unwrap().len(), bytes);
    };
    check("smollm2-135m", 98_362_432);
    check("gemma3-270m", 253_113_024);
}

fn magic(path: &Path) -> [u8; 4] {
    let mut magic = [0; 4];
    File::open(path).unwrap().read_exact(&mut magic).unwrap();
    magic
}

#[test]
#[should_panic(expected = "not a built-in model")]
fn an_unknown_name_is_not_skipped() {
    model_path("smollm3");
}
