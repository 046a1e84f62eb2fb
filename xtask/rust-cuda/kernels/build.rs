//! Tells the kernels which target they are compiled for. cuda_builder sets
//! the compiler's flags itself, so the cfg comes from here.

fn main() {
    println!("cargo::rerun-if-env-changed=ATTEST_TARGET");
    if let Ok(target) = std::env::var("ATTEST_TARGET") {
        println!("cargo::rustc-cfg=attest_target=\"{target}\"");
    }
}
