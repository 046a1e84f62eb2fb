//! `attest key`, and key files that must not be used.

use crate::identities::{COULD_NOT_RUN, Desk, OK, mode, set_mode};
use attest::identity::SigningIdentity;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

#[test]
fn a_new_key_is_its_owners_alone_and_is_never_overwritten() {
    let desk = Desk::new();
    let made = desk.attest(OK, ["key", "new"]);
    let path = desk.path("config/attest/key.pem");
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    let before = std::fs::read_to_string(&path).unwrap();
    desk.attest(COULD_NOT_RUN, ["key", "new"]).refuses("never overwritten");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
    // Nothing of the secret is printed, neither as the file has it nor in hex.
    let base64 = before.lines().nth(1).unwrap();
    let secret = hex::encode(&STANDARD.decode(base64).unwrap()[16..]);
    let identity = SigningIdentity::read(&path).unwrap();
    assert_eq!(identity.public().to_string(), made.stdout.trim_end());
    for printed in [made, desk.attest(OK, ["key", "show"])] {
        let all = printed.stdout.clone() + &printed.stderr;
        assert!(!all.contains(&base64[30..]) && !all.contains(&secret), "{all}");
        assert_eq!(printed.stdout, format!("{}\n", identity.public()));
    }
}

#[test]
fn keys_are_shown_as_json_too() {
    let desk = Desk::new();
    let public = desk.key("miner");
    let shown = desk.attest(OK, ["key", "show", "miner.pem", "--json"]).stdout;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["public_key"], &shown["algorithm"]), (&public.into(), &"ed25519".into()));
}

#[test]
fn a_key_that_others_can_read_is_not_used() {
    let desk = Desk::new();
    let public = desk.key("miner");
    desk.challenge(&["--miner-id", &public]);
    desk.mine(&["--key", "miner.pem"]);
    set_mode(&desk.path("miner.pem"), 0o640);
    for args in [
        "key show miner.pem",
        "run --challenge @token.txt --executor cpu --key miner.pem",
        "export --in-toto result.json --challenge @token.txt --key miner.pem",
    ] {
        let refused = desk.attest(COULD_NOT_RUN, args.split(' '));
        refused.refuses("has mode 0640");
        refused.refuses("chmod 600 miner.pem");
    }
}

#[test]
fn a_missing_key_and_a_text_are_no_keys() {
    let desk = Desk::new();
    desk.attest(COULD_NOT_RUN, ["key", "show"]).refuses("cannot read the key file");
    desk.write("text.pem", "-----BEGIN SOMETHING-----\n");
    set_mode(&desk.path("text.pem"), 0o600);
    desk.attest(COULD_NOT_RUN, ["key", "show", "text.pem"]).refuses("no Ed25519 private key");
}
