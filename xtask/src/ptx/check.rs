//! What a finished PTX file must not contain, and which entry points it must.
//! Needs no tool and no GPU.

use anyhow::{Result, bail};

use super::backend::Expected;
use super::table::{Heat, KERNELS, Target, kernel};
use super::text::{Item, Module, words};

/// Checks a module whose unreached items are gone.
///
/// # Errors
/// With every fault found, one a line.
pub fn check(module: &Module, target: Target, expected: &Expected) -> Result<()> {
    let mut faults = expected.faults(module);
    faults.extend(content_faults(module, target));
    if faults.is_empty() {
        return Ok(());
    }
    bail!("the PTX for {} can't be used:\n  {}", target.name(), faults.join("\n  "))
}

fn content_faults(module: &Module, target: Target) -> Vec<String> {
    let mut faults = Vec::new();
    for item in &module.items {
        match item {
            Item::Function { name, .. } => faults.push(format!(
                "function {name} is left over (a panic, a division, an index that is checked, or \
                 something not inlined)"
            )),
            Item::Entry { name, body, .. } => faults.extend(entry_faults(name, body)),
            _ => {}
        }
    }
    for kernel in KERNELS.iter().filter(|kernel| kernel.since <= target) {
        if !module.entries().any(|(name, _)| name == kernel.name) {
            faults.push(format!("entry point {} is missing", kernel.name));
        }
    }
    for (name, _) in module.entries() {
        if kernel(name).is_some_and(|kernel| kernel.since > target) {
            faults.push(format!("entry point {name} belongs to later targets only"));
        }
    }
    faults
}

fn entry_faults(name: &str, body: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let count = |word| words(body).filter(|w| *w == word).count();
    let calls = count("call");
    if calls > 0 {
        faults.push(format!("{name} has {calls} calls left"));
    }
    let local = count("local");
    if local > 0 && kernel(name).is_some_and(|kernel| kernel.heat == Heat::Hot) {
        faults.push(format!(
            "{name} keeps an array in local memory ({local} accesses and declarations): index it \
             with literals"
        ));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::text::parse;
    use super::*;

    fn portable(extra: &str) -> String {
        let mut ptx = ".version 7.0\n.target sm_70\n".to_owned();
        for name in ["fill", "merkle", "chain_step", "gemm_fma", "peak_fma", "peak_sha256"] {
            let body = if name == "gemm_fma" { extra } else { "" };
            ptx += &format!(".visible .entry {name}() {{ {body} ret; }}\n");
        }
        ptx
    }

    fn faults_of(ptx: &str, target: Target) -> Vec<String> {
        content_faults(&parse(ptx).unwrap(), target)
    }

    #[test]
    fn a_clean_module_passes() {
        assert_eq!(faults_of(&portable(""), Target::Portable), [""; 0]);
    }

    #[test]
    fn calls_are_found_in_any_form() {
        for call in ["call.uni (r), f, (x);", "call f;", "{ call.uni f, (); }"] {
            assert_eq!(faults_of(&portable(call), Target::Portable), ["gemm_fma has 1 calls left"]);
        }
    }

    #[test]
    fn local_memory_is_found_in_hot_kernels_only() {
        let local = ".local .align 8 .b8 __local_depot0[64]; st.local.b32 [%rd1], 0;";
        let found = faults_of(&portable(local), Target::Portable);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("gemm_fma keeps an array in local memory (2 "), "{found:?}");
        let plain = portable("").replace("merkle() {", "merkle() { ld.local.b32 %r1, [%rd1];");
        assert_eq!(faults_of(&plain, Target::Portable), [""; 0]);
    }

    #[test]
    fn leftover_functions_are_found() {
        let ptx = portable("") + ".extern .func core_panicking\n(\n)\n;\n";
        assert!(faults_of(&ptx, Target::Portable)[0].starts_with("function core_panicking"));
    }

    #[test]
    fn missing_and_misplaced_entries_are_found() {
        let ptx = portable("").replace("entry merkle", "entry gemm_m8n8k4");
        let found = faults_of(&ptx, Target::Portable);
        let expected = [
            "entry point merkle is missing",
            "entry point gemm_m8n8k4 belongs to later targets only",
        ];
        assert_eq!(found, expected);
    }
}
