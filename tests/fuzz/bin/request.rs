#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| greylet_fuzz::request::check(bytes));
