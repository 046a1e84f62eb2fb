//! Keeps the module's symbols to itself.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // The `cu*` functions of host/cuda-driver are for the program: in a process that has the
    // real driver loaded, the module's must not be taken for it.
    println!("cargo:rustc-cdylib-link-arg=-Wl,--exclude-libs,ALL");
}
