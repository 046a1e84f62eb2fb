//! Tells the kernels what their target has. cuda_builder sets the compiler's
//! flags itself, so the cfg comes from here: `ATTEST_HAS` is a list with commas.

fn main() {
    println!("cargo::rerun-if-env-changed=ATTEST_HAS");
    let has = std::env::var("ATTEST_HAS").unwrap_or_default();
    for value in has.split(',').filter(|value| !value.is_empty()) {
        println!("cargo::rustc-cfg=attest_has=\"{value}\"");
    }
}
