//! What compiling takes of the targets that `gpu_kernels::target` declares: file
//! names, the compilers' names for them, and how the manifest has them.

use gpu_kernels::target::{Means, Target};
use serde::{Deserialize, Deserializer, Serializer};

/// The file in the PTX folder.
pub fn file(target: Target) -> String {
    format!("{}.ptx", target.name())
}

/// Values of the cfg `attest_has`.
pub fn cfg_values(target: Target) -> impl Iterator<Item = &'static str> {
    target.has().iter().copied().map(Means::cfg_value)
}

/// What libNVVM compiles it for: CUDA 13's dropped everything below 75.
pub fn nvvm_arch(target: Target) -> String {
    target.ptxas_arch().replace("sm_", "compute_")
}

/// Whether libNVVM takes what LLVM 7 writes for it: from `compute_100` on it reads the
/// dialect of LLVM 20.
pub fn is_of_llvm_7(target: Target) -> bool {
    let digits: String = target.cpu().chars().filter(char::is_ascii_digit).collect();
    digits.parse().is_ok_and(|number: u32| number < 100)
}

/// As the manifest has it: by its name.
pub fn serialize<S: Serializer>(target: &Target, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(target.name())
}

/// From a manifest.
///
/// # Errors
/// A name that no target has.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Target, D::Error> {
    let name = String::deserialize(deserializer)?;
    let named = Target::ALL.into_iter().find(|target| target.name() == name);
    named.ok_or_else(|| serde::de::Error::custom(format!("no target is called {name}")))
}

#[cfg(test)]
mod tests {
    use gpu_kernels::table::products;

    use super::*;

    #[test]
    fn names_for_compilers_follow_from_the_declared_ones() {
        assert_eq!(nvvm_arch(Target::Portable), "compute_75");
        assert_eq!(nvvm_arch(Target::Sm90a), "compute_90a");
        let of_llvm_7: Vec<_> = Target::ALL.into_iter().filter(|&t| is_of_llvm_7(t)).collect();
        assert_eq!(of_llvm_7, [Target::Portable, Target::Sm80, Target::Sm90, Target::Sm90a]);
    }

    #[test]
    fn every_value_of_the_cfg_is_one_that_both_manifests_know() {
        let root = crate::workspace::root();
        for manifest in ["Cargo.toml", "xtask/rust-cuda/kernels/Cargo.toml"] {
            let text = std::fs::read_to_string(root.join(manifest)).unwrap();
            let line = text.lines().find(|line| line.contains("cfg(attest_has")).unwrap();
            for value in Target::ALL.into_iter().flat_map(cfg_values) {
                assert!(line.contains(&format!("\"{value}\"")), "{value} in {manifest}");
            }
        }
    }

    #[test]
    fn the_documentation_s_table_of_targets_is_that_of_the_sources() {
        let path = crate::workspace::root().join("docs/kernels.md");
        let text = std::fs::read_to_string(path).unwrap();
        for target in Target::ALL {
            let fastest = products().find(|kernel| kernel.targets.include(target)).unwrap();
            let (isa, name) = (target.isa(), target.name());
            let start = format!("| `{name}` | `{}` | {}.{} | ", target.cpu(), isa / 10, isa % 10);
            let row = text.lines().find(|line| line.starts_with(&start));
            let row = row.unwrap_or_else(|| panic!("no row starts with {start}"));
            assert_eq!(row.split('|').nth(5).unwrap().trim(), format!("`{}`", fastest.name));
        }
    }
}
