#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| serin_fuzz::host_and_path::check(input));
