//! Has the module call its own functions, whatever the process has loaded.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // host/cuda-driver defines the driver's `cu*` functions with checks of its own. In a
    // process that has loaded the driver for all (as other packages do), calls would go there.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-Bsymbolic");
}
