//! README.md and docs/guide.md against the program: every command line in them parses, and
//! their tables are what the declaration says.

use super::{Cli, EXIT_CODES};
use clap::{CommandFactory as _, Parser as _};
use std::collections::BTreeSet;

const README: &str = include_str!("../../../../../README.md");
const GUIDE: &str = include_str!("../../../../../docs/guide.md");

/// A public key, in the place of a variable with one.
const KEY: &str = "6c9da3df484cd5b9666de1e31cd74e58895256a00d19465c57d56657c001d126";

/// Pages whose command lines are tried.
const PAGES: [(&str, &str); 10] = [
    ("README.md", README),
    ("guide.md", GUIDE),
    ("dashboard.md", include_str!("../../../../../docs/dashboard.md")),
    ("export.md", include_str!("../../../../../docs/export.md")),
    ("findings.md", include_str!("../../../../../docs/findings.md")),
    ("ledger.md", include_str!("../../../../../docs/ledger.md")),
    ("models.md", include_str!("../../../../../docs/models.md")),
    ("policy.md", include_str!("../../../../../docs/policy.md")),
    ("recovery.md", include_str!("../../../../../docs/recovery.md")),
    ("sessions.md", include_str!("../../../../../docs/sessions.md")),
];

/// The command lines of a page's console blocks, continued lines joined.
fn typed(page: &str) -> Vec<String> {
    let (mut lines, mut in_console, mut open) = (Vec::<String>::new(), false, false);
    for line in page.lines() {
        if let Some(language) = line.strip_prefix("```") {
            in_console = !in_console && language == "console";
            open = false;
            continue;
        }
        if !in_console {
            continue;
        }
        let text = match (open, line.strip_prefix("$ ")) {
            (true, _) => line.trim(),
            (false, Some(typed)) => typed,
            (false, None) => continue,
        };
        match open {
            true => lines.last_mut().expect("a line is continued").push_str(text),
            false => lines.push(text.to_owned()),
        }
        open = text.ends_with('\\');
        if open {
            lines.last_mut().expect("just put there").pop();
        }
    }
    lines
}

/// The words of each simple command in a line of a shell: quotes are taken off, comments and
/// redirections end one, expansions stay as they are.
fn commands(line: &str) -> Vec<Vec<String>> {
    let (mut all, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let (mut quote, mut is_cut) = (None, false);
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, ' ' | '|' | '&' | ';' | '>' | '#' | '(' | ')') => {
                // "2>" is no word of the command.
                let number = letter == '>' && word.as_deref().is_some_and(|w| w == "2");
                words.extend(word.take().filter(|_| !is_cut && !number));
                match letter {
                    '#' => break,
                    '>' => is_cut = true,
                    ' ' => {}
                    _ => {
                        all.push(std::mem::take(&mut words));
                        is_cut = false;
                    }
                }
            }
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word.filter(|_| !is_cut));
    all.push(words);
    all
}

/// What is given to `attest`, if that is what a command starts.
fn of_attest(words: &[String]) -> Option<&[String]> {
    let is_variable = |word: &&String| {
        word.split_once('=')
            .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
    };
    let start = words.iter().take_while(is_variable).count();
    match words[start..].split_first()? {
        (program, arguments) if program == "attest" => Some(arguments),
        (program, rest) if program == "cargo" && rest.first().is_some_and(|w| w == "run") => {
            let at = rest.iter().position(|word| word == "--")?;
            Some(&rest[at + 1..])
        }
        _ => None,
    }
}

#[test]
fn every_command_line_of_the_documents_is_one_that_the_program_takes() {
    let mut names = BTreeSet::new();
    for (page, text) in PAGES {
        for line in typed(text) {
            for words in commands(&line) {
                let Some(arguments) = of_attest(&words) else { continue };
                // What a shell would put there.
                let expanded = |word: &String| word.replace("$KEY", KEY);
                let words: Vec<String> = ["attest".to_owned()]
                    .into_iter()
                    .chain(arguments.iter().map(expanded))
                    .collect();
                if let Err(error) = Cli::try_parse_from(&words)
                    && error.use_stderr()
                {
                    panic!("{page}: {line}\n{error}");
                }
                names.extend(arguments.first().cloned());
            }
        }
    }
    // Else nothing was looked at.
    for name in ["challenge", "run", "verify", "validate", "policy", "doctor", "selftest"] {
        assert!(names.contains(name), "{name} is in no example: {names:?}");
    }
}

#[test]
fn lines_are_taken_apart_as_a_shell_does() {
    let apart = |line| commands(line).concat().join("|");
    assert_eq!(
        apart("A=1 attest run --challenge @t > r 2> l # x"),
        "A=1|attest|run|--challenge|@t"
    );
    assert_eq!(
        apart("attest a 'b c' -- sh -c 'd | e' | head -1"),
        "attest|a|b c|--|sh|-c|d | e|head|-1"
    );
    let lines = typed("```console\n$ attest a \\\n    b\nc\n$ attest d\n```\n$ attest e\n");
    assert_eq!(lines, ["attest a b", "attest d"]);
}

#[test]
fn the_table_of_commands_is_the_declarations() {
    let shown = |command: &&clap::Command| !command.is_hide_set();
    for command in Cli::command().get_subcommands().filter(shown) {
        let about = command.get_about().expect("each says what it does");
        let row = format!("\n| `attest {}` | {about} |", command.get_name());
        assert!(README.contains(&row), "README.md lacks:{row}");
    }
}

#[test]
fn exit_codes_and_variables_are_in_the_guide() {
    for (code, meaning) in EXIT_CODES {
        let row = format!("\n| {code} | {meaning} |");
        assert!(GUIDE.contains(&row), "docs/guide.md lacks:{row}");
    }
    fn variables(command: &clap::Command, found: &mut BTreeSet<String>) {
        for argument in command.get_arguments() {
            found.extend(argument.get_env().map(|name| name.to_string_lossy().into_owned()));
        }
        command.get_subcommands().for_each(|command| variables(command, found));
    }
    let mut found = BTreeSet::new();
    variables(&Cli::command(), &mut found);
    assert!(found.contains("ATTEST_LEDGER") && found.contains("GPU_COUNT"), "{found:?}");
    for name in found {
        assert!(GUIDE.contains(&format!("\n| `{name}` | ")), "docs/guide.md lacks {name}");
    }
}
