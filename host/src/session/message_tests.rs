//! What is written is read, and what breaks a rule is named.

use super::*;

#[test]
fn what_is_written_is_read() {
    let hello = MinerHello {
        versions: vec![1],
        software: software(),
        miner_id: Some(EncodedKey([7; 32])),
        capabilities: Vec::new(),
        devices: vec![Device {
            kind: DeviceKind::Gpu,
            model: "NVIDIA H200".to_owned(),
            uuid: Some(Uuid([1; 16])),
            memory_bytes: 1,
        }],
    };
    for message in [
        FromMiner::Hello(hello),
        FromMiner::Pong {},
        FromMiner::Received { bytes: 45_000 },
        FromMiner::Digest { digest: Digest([5; 32]) },
        FromMiner::Piece { data: "AAAA".to_owned() },
        FromMiner::Busy { text: "one at a time".to_owned() },
        FromMiner::Failed { text: "no GPU".to_owned() },
    ] {
        let line = line_of(&message);
        assert_eq!(FromMiner::read(&line).unwrap(), message);
    }
    for message in [
        FromValidator::Hello { versions: vec![1], software: software() },
        FromValidator::Ping { version: 1 },
        FromValidator::Network { bytes: 1 << 26 },
        FromValidator::Piece { data: "AAAA".to_owned() },
        FromValidator::SendBack { key: Digest([6; 32]) },
        FromValidator::Received { bytes: 45_000 },
        FromValidator::Challenge { token: "e30=".to_owned() },
        FromValidator::HostChallenge { beside: true, token: "e30=".to_owned() },
        FromValidator::Coin { coin: Coin::new([3; 32]).unwrap(), openings_within_ms: 30_000 },
        FromValidator::Verdict(VerdictMessage {
            outcome: VerdictOutcome::Rejected,
            code: Some("stalled".to_owned()),
            detail: None,
            receipt: None,
            earlier: Vec::new(),
        }),
    ] {
        let line = line_of(&message);
        assert_eq!(FromValidator::read(&line).unwrap(), message);
    }
}

#[test]
fn what_is_no_message_is_named() {
    let code = |text: &str| FromMiner::read(text.as_bytes()).unwrap_err().code;
    let deep = format!("{{\"message\":\"pong\",\"x\":{}{}}}", "[".repeat(40), "]".repeat(40));
    for text in ["", "Welcome to Ubuntu", "{\"message\":\"pong\"", &deep] {
        assert_eq!(code(text), FaultCode::NotJson, "{text}");
    }
    assert_eq!(code(r#"{"message":"pong","message":"pong"}"#), FaultCode::NotJson);
    assert_eq!(code(r#"{"message":"busy","text":null}"#), FaultCode::NotJson);
    let long = format!(r#"{{"message":"busy","text":"{}"}}"#, "x".repeat(1025));
    for text in [
        "{}",
        "[]",
        "1",
        r#" {"message":"pong"}"#,
        r#"{"message":"pong","x":1}"#,
        r#"{"message":"pang"}"#,
        r#"{"message":"busy"}"#,
        &long,
    ] {
        assert_eq!(code(text), FaultCode::MalformedMessage, "{text}");
    }
}

#[test]
fn a_coin_of_zeros_is_no_message() {
    let read = |digits: &str| {
        let rest = "\"openings_within_ms\":1}";
        let line = format!("{{\"message\":\"coin\",\"coin\":\"{digits}\",{rest}");
        FromValidator::read(line.as_bytes()).map_err(|fault| fault.code)
    };
    assert!(read(&"01".repeat(32)).is_ok());
    assert_eq!(read(&"00".repeat(32)), Err(FaultCode::MalformedMessage));
}

#[test]
fn what_comes_back_is_an_echo() {
    let hello = FromValidator::Hello { versions: vec![1], software: software() };
    let mut line = line_of(&hello);
    line.pop();
    // A terminal puts a carriage return before the line break.
    line.push(b'\r');
    for line in [line, line_of(&FromValidator::Ping { version: 1 })] {
        assert_eq!(FromMiner::read(&line).unwrap_err().code, FaultCode::Echoed);
    }
}

#[test]
fn what_is_too_much_is_named_with_its_bound() {
    let device =
        Device { kind: DeviceKind::Gpu, model: "x".to_owned(), uuid: None, memory_bytes: 1 };
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    let of = |change: fn(&mut MinerHello, Device, String)| {
        let mut hello = MinerHello { versions: vec![1], ..MinerHello::default() };
        change(&mut hello, device.clone(), long.clone());
        FromMiner::read(&line_of(&FromMiner::Hello(hello)))
    };
    assert!(of(|hello, device, _| hello.devices = vec![device; 64]).is_ok());
    for (change, said) in [
        (|hello, device, _| hello.devices = vec![device; 65], "devices lists 65, at most 64"),
        (|hello, _, _| hello.versions = vec![1; 17], "versions lists 17, at most 16"),
        (
            |hello, _, text| hello.capabilities = vec![text; 1],
            "a capability has 1025 bytes, at most 1024",
        ),
        (|hello, _, text| hello.software = text, "software has 1025 bytes"),
        (
            |hello, device, model| hello.devices = vec![Device { model, ..device }],
            "a device's model has 1025 bytes",
        ),
    ] as [(fn(&mut MinerHello, Device, String), &str); 5]
    {
        let fault = of(change).unwrap_err();
        assert_eq!(fault.code, FaultCode::MalformedMessage);
        assert!(fault.detail.contains(said), "{said}: {}", fault.detail);
    }
}

#[test]
fn long_texts_are_cut_at_a_character() {
    assert_eq!(text_for_message("short"), "short");
    let long = "ä".repeat(600);
    assert_eq!(text_for_message(&long).len(), 1024);
    assert_eq!(text_for_message(&format!("x{long}")).len(), 1023);
}
