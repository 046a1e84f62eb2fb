//! What a finished PTX file must not contain, and which entry points it must.
//! Needs no tool and no GPU.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use gpu_kernels::declaration::{Heat, Kernel, SyncCounts};
use gpu_kernels::kernels::KERNELS;
use gpu_kernels::table;
use gpu_kernels::target::Target;

use super::backend::Expected;
use super::instructions::count;
use super::text::{Item, Module, TABLE, words};

/// Checks a module whose unreached items are gone.
///
/// # Errors
/// With every fault found, one a line.
pub fn check(module: &Module, target: Target, expected: &Expected) -> Result<()> {
    let mut faults = expected.faults(module);
    faults.extend(content_faults(module, target));
    // Twice declared (libNVVM declares what it defines) is one fault.
    let mut said = BTreeSet::new();
    faults.retain(|fault| said.insert(fault.clone()));
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
            Item::Variable { text, .. } => faults.extend(shared_fault(text)),
            Item::Directive(_) => {}
        }
    }
    for kernel in KERNELS.iter().filter(|kernel| kernel.targets.include(target)) {
        if !module.entries().any(|(name, _)| name == kernel.name) {
            faults.push(format!("entry point {} is missing", kernel.name));
        }
    }
    for (name, _) in module.entries() {
        if table::named(name).is_some_and(|kernel| !kernel.targets.include(target)) {
            faults.push(format!("entry point {name} belongs to other targets only"));
        }
    }
    faults
}

/// Dynamic shared memory starts at a multiple of 1024 and has no size; there is
/// no other.
fn shared_fault(text: &str) -> Option<String> {
    if !words(text).any(|word| word == "shared") {
        return None;
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if !text.starts_with(".extern .shared ") {
        return Some(format!("static shared memory, which no launch counts: {text}"));
    }
    let align = text.split_once(".align ").and_then(|(_, rest)| rest.split(' ').next());
    let aligned =
        align.and_then(|align| align.parse().ok()).is_some_and(|align: u32| align >= 1024);
    if !aligned || !text.contains("[]") {
        return Some(format!(
            "dynamic shared memory must have .align 1024 and no size, and is {text}"
        ));
    }
    None
}

fn entry_faults(name: &str, body: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let occurrences = |word| words(body).filter(|w| *w == word).count();
    let calls = occurrences("call");
    if calls > 0 {
        faults.push(format!("{name} has {calls} calls left"));
    }
    let counted = count(body);
    for refused in counted.refused {
        let why = match refused.as_str() {
            "trap" | "exit" | "brkpt" => {
                "a panic, a division or an index that is checked becomes one; the sources have none"
            }
            _ => "threads that part ways there wait for ever",
        };
        faults.push(format!("{name} has `{refused}`: {why}"));
    }
    let Some(kernel) = table::named(name) else { return faults };
    faults.extend(sync_faults(kernel, counted.sync));
    let local = occurrences("local");
    if local > 0 && kernel.heat == Heat::Hot {
        faults.push(format!(
            "{name} keeps an array in local memory ({local} accesses and declarations): index it \
             with literals"
        ));
    }
    faults
}

/// Where `found` differs from what the kernel declares.
fn sync_faults(kernel: &Kernel, found: SyncCounts) -> Vec<String> {
    let declared = kernel.sync;
    let counts = [
        ("bar.sync or barrier.sync", found.block_barriers, declared.block_barriers),
        ("bar.warp.sync", found.warp_barriers, declared.warp_barriers),
        ("shfl.sync", found.shuffles, declared.shuffles),
        ("mbarrier waits", found.waits, declared.waits),
        ("setmaxnreg", found.hand_overs, declared.hand_overs),
        ("bulk copies", found.bulk_copies, declared.bulk_copies),
    ];
    let differing = counts.into_iter().filter(|(_, found, declared)| found != declared);
    differing
        .map(|(what, found, declared)| {
            format!(
                "{} has {found} {what}, and declares {declared}: the compiler made another number \
                 of them than the source has (threads that part ways there wait for ever), or the \
                 source changed and its entry in {TABLE} did not",
                kernel.name
            )
        })
        .collect()
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
