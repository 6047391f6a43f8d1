//! Has the linker keep the binary small, where it knows how.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |key, value: &str| env::var(key).is_ok_and(|found| found == value);
    // Rust brings its linker along for this target only (lld, which makes one
    // function of equal ones); GNU's has no such option. Who has chosen a
    // linker has it their way.
    let own_flags = env::var_os("CARGO_ENCODED_RUSTFLAGS").is_some_and(|flags| !flags.is_empty());
    if is("TARGET", "x86_64-unknown-linux-gnu") && is("PROFILE", "release") && !own_flags {
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    }
}
