//! Values that name a file or a place: one parser for each kind of place.
//!
//! Guarantees: a value that is empty (a variable that a script forgot to set), that
//! nothing expanded (`~`), or that is a keyword but for its capitals or blanks is refused
//! with what to do; a path may hold any bytes. No message repeats a ledger's address.
//! Deliberately lacks: looking whether anything is there.

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Command, Error};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// A file to read, or a folder.
pub(super) fn file() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|typed| check(&typed).map(|()| PathBuf::from(typed)))
}

/// A file to write.
pub(super) fn output() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|typed| {
        if typed == "-" {
            return Err("it is not a file: leave the option out for standard output; a file of \
                        that name is ./-"
                .to_owned());
        }
        check(&typed).map(|()| PathBuf::from(typed))
    })
}

/// A file to read, with or without a leading @, or - for standard input.
pub(super) fn source() -> impl TypedValueParser<Value = OsString> {
    OsStringValueParser::new().try_map(|typed| check(without_at(&typed)).map(|()| typed))
}

/// A token, @FILE, or - for standard input.
pub(super) fn token() -> impl TypedValueParser<Value = OsString> {
    source()
}

fn without_at(typed: &OsStr) -> &OsStr {
    typed.as_bytes().strip_prefix(b"@").map_or(typed, OsStr::from_bytes)
}

/// Whether this can be meant as a path.
///
/// # Errors
/// Why not, and what to do.
pub fn check(typed: &OsStr) -> Result<(), String> {
    let bytes = typed.as_bytes();
    if bytes.trim_ascii().is_empty() {
        return Err("it is empty: a variable may be unset; name a file, or leave it out".to_owned());
    }
    if bytes.starts_with(b"~") {
        return Err(
            "no shell has replaced the ~: write $HOME; a file of that name is ./~…".to_owned()
        );
    }
    Ok(())
}

/// Where a ledger is, as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerPlace {
    /// The user's own.
    Default,
    /// No ledger is kept.
    None,
    /// A file or a server's address.
    At(OsString),
}

/// The parser of [`LedgerPlace`]. Its errors don't show the value: it may hold a password.
#[derive(Clone, Debug)]
pub(super) struct LedgerParser;

impl TypedValueParser for LedgerParser {
    type Value = LedgerPlace;

    fn parse_ref(&self, _: &Command, _: Option<&Arg>, value: &OsStr) -> Result<LedgerPlace, Error> {
        ledger(value).map_err(|why| {
            let text = format!(
                "the value of --ledger (or of ATTEST_LEDGER) is not taken: {why}\n\n\
                 For more information, try '--help'.\n"
            );
            Error::raw(ErrorKind::ValueValidation, text)
        })
    }
}

fn ledger(value: &OsStr) -> Result<LedgerPlace, String> {
    check(value)?;
    let Some(text) = value.to_str() else { return Ok(LedgerPlace::At(value.to_owned())) };
    match text {
        "default" => return Ok(LedgerPlace::Default),
        "none" => return Ok(LedgerPlace::None),
        "-" => return Err("a ledger is not a stream; a file of that name is ./-".to_owned()),
        _ => {}
    }
    if text.trim() != text {
        return Err("there are blanks around it".to_owned());
    }
    for keyword in ["default", "none"] {
        if text.eq_ignore_ascii_case(keyword) {
            return Err(format!("write {keyword} in small letters; a file of that name is ./…"));
        }
    }
    if let Some((scheme, _)) = text.split_once("://")
        && !["postgres", "postgresql"].contains(&scheme)
        && ["postgres", "postgresql"].contains(&&*scheme.trim().to_ascii_lowercase())
    {
        return Err("write postgres:// in small letters".to_owned());
    }
    Ok(LedgerPlace::At(value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::{CommandFactory as _, ValueHint};

    /// Every argument of the program that names a file or a place, with the words that
    /// lead to it.
    fn places(command: &Command, way: &[String], out: &mut Vec<(Vec<String>, Arg)>) {
        for arg in command.get_arguments() {
            let names = arg.get_value_names().unwrap_or_default().iter();
            let is_named = names.map(|name| name.to_ascii_uppercase()).any(|name| {
                ["FILE", "PATH", "FOLDER", "DIR", "LOCATION", "RESULT"]
                    .iter()
                    .any(|word| name.contains(word))
            });
            let is_path = matches!(
                arg.get_value_hint(),
                ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath
            );
            let is_typed = [arg.get_value_parser().type_id()]
                .iter()
                .any(|id| *id == std::any::TypeId::of::<PathBuf>());
            if is_named || is_path || is_typed {
                out.push((way.to_vec(), arg.clone()));
            }
        }
        for sub in command.get_subcommands() {
            let way = [way, &[sub.get_name().to_owned()]].concat();
            places(sub, &way, out);
        }
    }

    #[test]
    fn no_option_that_names_a_place_takes_one_that_cannot_be_meant() {
        let mut found = Vec::new();
        places(&Cli::command(), &[], &mut found);
        assert!(found.len() > 30, "{}", found.len());
        for (way, arg) in found {
            for (value, says) in [
                ("", "it is empty"),
                ("  ", "it is empty"),
                ("~", "no shell has replaced the ~"),
                ("~/file", "no shell has replaced the ~"),
            ] {
                let mut line = vec!["attest".to_owned()];
                line.extend(way.iter().cloned());
                // With = it is a value even where the next word would begin an option.
                match arg.get_long() {
                    Some(long) => line.push(format!("--{long}={value}")),
                    None => line.push(value.to_owned()),
                }
                if way.is_empty() {
                    line.push("demo".to_owned());
                }
                let error = Cli::command().try_get_matches_from(&line).unwrap_err();
                let text = error.to_string();
                assert_eq!(error.kind(), ErrorKind::ValueValidation, "{line:?}: {text}");
                assert!(text.contains(says), "{line:?}: {text}");
            }
        }
    }

    #[test]
    fn keywords_of_a_ledger_are_written_as_they_are() {
        let of = |text: &str| ledger(OsStr::new(text));
        assert_eq!(of("default"), Ok(LedgerPlace::Default));
        assert_eq!(of("none"), Ok(LedgerPlace::None));
        for file in ["ledger.sqlite", "./none", "./default", "/a b/c", "postgres://u@h/d"] {
            assert_eq!(of(file), Ok(LedgerPlace::At(file.into())));
        }
        for near in ["Default", "DEFAULT", "NONE", "None", " none", "default\n", "-", "~/l", ""] {
            assert!(of(near).is_err(), "{near:?}");
        }
        for address in ["Postgres://u:secret@h/d", "POSTGRESQL://u:secret@h/d"] {
            let line = ["attest", "--ledger", address, "demo"];
            let text = Cli::command().try_get_matches_from(line).unwrap_err().to_string();
            assert!(text.contains("small letters") && !text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn a_path_holds_any_bytes() {
        let odd = OsStr::from_bytes(b"\xff\xfe");
        assert_eq!(ledger(odd), Ok(LedgerPlace::At(odd.to_owned())));
        let command = Command::new("attest")
            .arg(Arg::new("a").value_parser(file()))
            .arg(Arg::new("b").value_parser(output()))
            .arg(Arg::new("c").value_parser(source()));
        let words = [OsStr::new("attest"), odd, odd, odd];
        command.try_get_matches_from(words).expect("they are taken");
        let dash = Command::new("attest").arg(Arg::new("b").value_parser(output()));
        assert!(dash.try_get_matches_from(["attest", "-"]).is_err());
    }
}
