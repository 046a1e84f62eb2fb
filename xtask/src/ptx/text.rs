//! PTX text: what the compiler wrote, taken apart and put together again with
//! launch bounds.
//!
//! Guarantee: the output depends on the compiler and the sources alone. Of
//! everything but entry points only what an entry point reaches is kept (so
//! panic messages with paths of the build machine go), comments go, and crate
//! hashes, which depend on where the library source lies, go out of the names.
//! It knows no more of PTX than it needs to split a file at its top level.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};

use gpu_kernels::table;

/// Raise when the output for the same input changes: it is part of the digest
/// of the sources.
pub const VERSION: u32 = 1;

/// Where kernels are declared, for messages.
pub const TABLE: &str = "gpu-kernels/src/kernels/mod.rs";

/// One top-level item of a PTX file.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// `.version`, `.target`, `.address_size` or another directive of one line.
    Directive(String),
    /// A variable of the module.
    Variable {
        /// Its name.
        name: String,
        /// All of it.
        text: String,
    },
    /// A function, or the declaration of one.
    Function {
        /// Its name.
        name: String,
        /// Up to the body.
        head: String,
        /// In braces; none in a declaration.
        body: Option<String>,
    },
    /// An entry point.
    Entry {
        /// Its name.
        name: String,
        /// Up to the body.
        head: String,
        /// In braces.
        body: String,
    },
}

/// A PTX file, taken apart.
#[derive(Debug)]
pub struct Module {
    /// In the order of the file.
    pub items: Vec<Item>,
}

/// Identifiers and words in a text: `ld.local.b32 %r1, [x]` has ld, local,
/// b32, %r1 and x.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || "_$%".contains(c)))
        .filter(|w| !w.is_empty())
}

/// Takes a PTX file apart.
///
/// # Errors
/// If it does not look like PTX: an unfinished item, or one without a name.
pub fn parse(ptx: &str) -> Result<Module> {
    let text = without_comments(&without_crate_hashes(ptx));
    let mut rest = text.trim_start();
    let mut items = Vec::new();
    while !rest.is_empty() {
        let (item, after) = split_item(rest)?;
        items.push(item);
        rest = after.trim_start();
    }
    Ok(Module { items })
}

impl Module {
    /// Name and body of every entry point.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.items.iter().filter_map(|item| match item {
            Item::Entry { name, body, .. } => Some((name.as_str(), body.as_str())),
            _ => None,
        })
    }

    /// What a directive says: `.target` → sm_90a.
    pub fn directive(&self, name: &str) -> Option<&str> {
        self.items.iter().find_map(|item| match item {
            Item::Directive(text) => Some(text.strip_prefix(name)?.trim()),
            _ => None,
        })
    }

    /// Declares dynamic shared memory without a size and aligned to 1024. With
    /// a size (Rust-CUDA's cuda_std gives 16 bytes), ptxas takes it for static
    /// memory that comes on top of the launch's.
    pub fn unsize_dynamic_shared(&mut self) {
        for item in &mut self.items {
            let Item::Variable { name, text } = item else { continue };
            if text.starts_with(".extern .shared") {
                *text = format!(".extern .shared .align 1024 .b8 {name}[];");
            }
        }
    }

    /// Drops every variable and function that no entry point reaches.
    pub fn keep_what_entries_reach(&mut self) {
        let mut reached = BTreeSet::new();
        let mut pending: Vec<&str> = self.entries().flat_map(|(_, body)| words(body)).collect();
        while let Some(word) = pending.pop() {
            for item in &self.items {
                let (name, content) = match item {
                    Item::Variable { name, text } => (name, text.as_str()),
                    Item::Function { name, body, .. } => (name, body.as_deref().unwrap_or("")),
                    _ => continue,
                };
                if name == word && reached.insert(name.clone()) {
                    pending.extend(words(content));
                }
            }
        }
        self.items.retain(|item| match item {
            Item::Variable { name, .. } | Item::Function { name, .. } => reached.contains(name),
            _ => true,
        });
    }

    /// Adds `.maxntid` and `.minnctapersm` from the table to every entry point.
    ///
    /// # Errors
    /// If the table lacks one, or one has bounds already.
    pub fn add_launch_bounds(&mut self) -> Result<()> {
        for item in &mut self.items {
            let Item::Entry { name, head, .. } = item else { continue };
            let Some(kernel) = table::named(name) else {
                bail!(
                    "the kernels have an entry point `{name}` that the table lacks\n  \
                     try: add it, with its threads per block, to KERNELS in {TABLE}"
                );
            };
            ensure!(
                !words(head).any(|word| word == "maxntid" || word == "reqntid"),
                "entry point `{name}` has launch bounds already\n  \
                 try: leave them to the table in {TABLE}"
            );
            head.push_str(&format!("\n.maxntid {}, 1, 1", kernel.threads));
            if let Some(blocks) = kernel.blocks_per_sm_min {
                head.push_str(&format!("\n.minnctapersm {blocks}"));
            }
        }
        Ok(())
    }

    /// The file, below a first line that says where it comes from.
    pub fn render(&self, origin: &str) -> String {
        let mut out = format!("// {origin}\n");
        for item in &self.items {
            match item {
                Item::Directive(text) | Item::Variable { text, .. } => push_lines(&mut out, text),
                Item::Function { head, body, .. } => {
                    out.push('\n');
                    push_lines(&mut out, head);
                    push_lines(&mut out, body.as_deref().unwrap_or(";"));
                }
                Item::Entry { head, body, .. } => {
                    out.push('\n');
                    push_lines(&mut out, head);
                    push_lines(&mut out, body);
                }
            }
        }
        out
    }
}

/// Adds the lines of `text` that are not empty, without white space at their ends.
fn push_lines(out: &mut String, text: &str) {
    for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        out.push_str(line);
        out.push('\n');
    }
}

/// `…NtCs3voWo2bRBPn_11gpu_kernels…` → `…NtC11gpu_kernels…`: the crate's hash in
/// Rust's mangled names (v0) depends on the library source's path. A name with
/// no hash in it is as valid.
fn without_crate_hashes(ptx: &str) -> String {
    let mut out = String::with_capacity(ptx.len());
    let mut rest = ptx;
    while let Some(at) = rest.find("Cs") {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let hash_len = tail[2..].bytes().take_while(u8::is_ascii_alphanumeric).count();
        let after = &tail[2 + hash_len..];
        let is_hash = hash_len > 0
            && after.starts_with('_')
            && after[1..].starts_with(|c: char| c.is_ascii_digit());
        if is_hash {
            out.push('C');
            rest = &after[1..];
        } else {
            out.push_str("Cs");
            rest = &tail[2..];
        }
    }
    out + rest
}

/// Removes `//` and `/* */` comments.
fn without_comments(ptx: &str) -> String {
    let mut out = String::with_capacity(ptx.len());
    let mut rest = ptx;
    while let Some(at) = rest.find('/') {
        out.push_str(&rest[..at]);
        let tail = &rest[at..];
        rest = if tail.starts_with("//") {
            tail.find('\n').map_or("", |end| &tail[end..])
        } else if let Some(inner) = tail.strip_prefix("/*") {
            inner.find("*/").map_or("", |end| &inner[end + 2..])
        } else {
            out.push('/');
            &tail[1..]
        };
    }
    out + rest
}

/// The first item of `text`, which starts with one, and what comes after it.
fn split_item(text: &str) -> Result<(Item, &str)> {
    let directive = text.split_whitespace().next().unwrap_or("");
    if [".version", ".target", ".address_size", ".file"].contains(&directive) {
        let end = text.find('\n').unwrap_or(text.len());
        return Ok((Item::Directive(text[..end].to_owned()), &text[end..]));
    }
    let head_end = text.find(['{', ';']).unwrap_or(text.len());
    let head = text[..head_end].trim_end();
    let is_entry = words(head).any(|word| word == "entry");
    if is_entry || words(head).any(|word| word == "func") {
        let name = function_name(head)?;
        if text[head_end..].starts_with(';') {
            let item = Item::Function { name, head: head.to_owned(), body: None };
            return Ok((item, &text[head_end + 1..]));
        }
        let (body, after) = braced(&text[head_end..], head)?;
        let (head, body) = (head.to_owned(), body.to_owned());
        let item = if is_entry {
            Item::Entry { name, head, body }
        } else {
            Item::Function { name, head, body: Some(body) }
        };
        return Ok((item, after));
    }
    let Some(end) = text.find(';') else {
        bail!("the PTX ends in an unfinished item: {}", first_line(text));
    };
    let name = variable_name(head)?;
    Ok((Item::Variable { name, text: text[..=end].to_owned() }, &text[end + 1..]))
}

/// The braces that `text` starts with, and what comes after them.
fn braced<'a>(text: &'a str, what: &str) -> Result<(&'a str, &'a str)> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Ok(text.split_at(at + 1)),
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    bail!("the PTX ends inside the braces of {}", first_line(what))
}

/// `.visible .entry fill(…)` → fill; `.func (.param .b32 r) f(…)` → f.
fn function_name(head: &str) -> Result<String> {
    let keyword = if head.contains(".entry") { ".entry" } else { ".func" };
    let mut rest = head.split_once(keyword).map_or("", |(_, rest)| rest).trim_start();
    if rest.starts_with('(') {
        rest = rest.split_once(')').map_or("", |(_, rest)| rest);
    }
    match words(rest).next() {
        Some(name) => Ok(name.to_owned()),
        None => bail!("the PTX has a function without a name: {}", first_line(head)),
    }
}

/// `.global .align 4 .b8 TABLE[256] = ` → TABLE.
fn variable_name(head: &str) -> Result<String> {
    let declared = head.split(['[', '=']).next().unwrap_or("");
    match words(declared).last() {
        Some(name) if declared.starts_with('.') => Ok(name.to_owned()),
        _ => {
            bail!("the PTX has an item that is neither function nor variable: {}", first_line(head))
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or("")
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
