//! Published vectors: what the building blocks must give whoever wrote them.

use attest::protocol::digest::Digest;
use attest::protocol::merkle;
use attest::reference::tree;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{HashableLeaf, InclusionProof};
use sha2::Sha256;

/// Known answers of Random123 1.14 (kat_vectors, philox4x32 with 10 rounds):
/// counter, key, output.
#[test]
fn random123_philox4x32_10_known_answers() {
    let all = u32::MAX;
    let known = [
        ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([all; 4], [all; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        ),
    ];
    for (counter, key, output) in known {
        assert_eq!(rand_philox::philox4x32_10(counter, key), output);
        assert_eq!(philox_as_written(counter, key), output);
    }
}

/// The rounds as docs/protocol.md writes them.
fn philox_as_written(c: [u32; 4], k: [u32; 2]) -> [u32; 4] {
    let ([mut c0, mut c1, mut c2, mut c3], [mut k0, mut k1]) = (c, k);
    for round in 0..10 {
        if round > 0 {
            k0 = k0.wrapping_add(0x9e37_79b9);
            k1 = k1.wrapping_add(0xbb67_ae85);
        }
        let m0 = 0xd251_1f53 * u64::from(c0);
        let m1 = 0xcd9e_8d57 * u64::from(c2);
        let (hi, lo) = (|m: u64| (m >> 32) as u32, |m: u64| m as u32);
        (c0, c1, c2, c3) = (hi(m1) ^ c1 ^ k0, lo(m1), hi(m0) ^ c3 ^ k1, lo(m0));
    }
    [c0, c1, c2, c3]
}

#[test]
fn philox_as_written_and_as_used_agree() {
    let mut block = [1, 2, 3, 4];
    for i in 0..100_000 {
        let key = [i, block[0]];
        let used = rand_philox::philox4x32_10(block, key);
        assert_eq!(used, philox_as_written(block, key));
        block = used;
    }
}

/// FIPS 180-4's examples and NIST's longer ones. The first byte counts are at
/// the edges of the padding: 55 bytes fit one block with it, 56 don't.
#[test]
fn nist_sha256_examples() {
    let million_a = vec![b'a'; 1_000_000];
    let two_blocks = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    let four_blocks = b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn\
        hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";
    let known: &[(&[u8], &str)] = &[
        (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (two_blocks, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
        (four_blocks, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"),
        (&million_a, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
        (&[0xbd], "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b"),
        (
            &[0xc9, 0x8c, 0x8e, 0x55],
            "7abc22c0ae5af26ce93dbb94433a0e0b2e119d014f8e7f65bd56c61ccccd9504",
        ),
        (&[0; 55], "02779466cdec163811d078815c633f21901413081449002f24aa3e80f0b88ef7"),
        (&[0; 56], "d4817aa5497628e7c77e6b606107042bbba3130888c5f47a375e6179be789fbb"),
        (&[0; 57], "65a16cb7861335d5ace3c60718b5052e44660726da4cd13bb745381b235a1785"),
        (&[0; 64], "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b"),
        (&[0; 1000], "541b3e9daa09b20bf85fa273e5cbd3e80185aa4ec298e765db87742b70138a53"),
        (&[b'A'; 1000], "c2e686823489ced2017f6059b8b239318b6364f6dcd835d0a519105a1eadd6e4"),
        (&[b'U'; 1005], "f4d62ddec0f3dd90ea1380fa16a5ff8dc4c54b21740650f24afc4120903552b0"),
        (&[0; 1_000_000], "d29751f2649b32ff572b5e0a9f541ea660a50f94ff0beedfb0b692b924cc8025"),
    ];
    for (message, digest) in known {
        assert_eq!(Digest::of(&[message]).to_string(), *digest, "{} bytes", message.len());
        let (left, right) = message.split_at(message.len() / 3);
        assert_eq!(Digest::of(&[left, right]).to_string(), *digest, "in two parts");
        assert_eq!(tree::hash(&[left, right]).to_string(), *digest, "as the oracle hashes");
    }
}

/// The eight entries that implementations of RFC 6962 share as test data.
fn standard_entries() -> Vec<Vec<u8>> {
    [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ]
    .iter()
    .map(|text| hex::decode(text).expect("hex"))
    .collect()
}

#[test]
fn rfc_6962_roots_of_the_standard_entries() {
    let leaves: Vec<Digest> =
        standard_entries().iter().map(|entry| merkle::leaf_hash(entry)).collect();
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    for (count, root) in (1..).zip(roots) {
        assert_eq!(merkle::root(&leaves[..count]).unwrap().to_string(), root, "{count} leaves");
        assert_eq!(tree::tree_hash(&leaves[..count]).to_string(), root, "{count} leaves");
    }
}

/// A leaf of ct-merkle's trees.
struct Entry(Vec<u8>);

impl HashableLeaf for Entry {
    fn hash<H: ct_merkle::digest::Update>(&self, hasher: &mut H) {
        hasher.update(&self.0);
    }
}

/// Sizes around powers of two, where a wrong rule for odd nodes shows, and
/// those of whole tiles.
#[test]
fn audit_paths_are_those_of_ct_merkle() {
    let sizes = (1..=70).chain([100, 127, 128, 129, 255, 256, 257, 511, 513, 768, 1000, 2304]);
    for size in sizes {
        let entry = |i: usize| (i as u64).to_be_bytes().repeat(1 + i % 5);
        let mut tree = MemoryBackedTree::<Sha256, Entry>::new();
        (0..size).for_each(|i| tree.push(Entry(entry(i))));
        let leaves: Vec<Digest> = (0..size).map(|i| merkle::leaf_hash(&entry(i))).collect();
        let root = merkle::root(&leaves).unwrap();
        assert_eq!(tree.root().as_bytes().as_slice(), root.0, "{size} leaves");
        for index in (0..size).filter(|i| size <= 300 || i % 37 == 0 || i + 3 > size) {
            let path = merkle::path(&leaves, index);
            let theirs = tree.prove_inclusion(index);
            let ours: Vec<u8> = path.iter().flat_map(|digest| digest.0).collect();
            assert_eq!(theirs.as_bytes(), ours, "leaf {index} of {size}");
            assert_eq!(path.len(), merkle::path_len(index as u64, size as u64));
            let back = merkle::root_from_path(&leaves[index], index as u64, size as u64, &path);
            assert_eq!(back, Some(root));
            let proof = InclusionProof::from_bytes(ours);
            tree.root().verify_inclusion(&Entry(entry(index)), index as u64, &proof).unwrap();
        }
    }
}
