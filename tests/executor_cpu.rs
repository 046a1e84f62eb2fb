//! The CPU executor on each instruction set of this machine, against a scalar
//! definition written here from docs/protocol.md and against the vectors.

use attest::executor::cpu::{CpuExecutor, CpuOptions, CpuVerifier, Simd, detect_simd};
use attest::executor::{ExecError, Executor, Segment, SmTiles, SoloSync, TileRequest};
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::names::{Root, State};
use attest::protocol::verify::{LeafRequest, Recompute, RecomputeIteration};
use attest::protocol::work::fp64_product::{Fp64Product, LeafPlace};
use attest::protocol::work::{IterationPlace, RunInputs};
use base64::Engine as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fmt::Debug;
use std::ops::ControlFlow;
use std::str::FromStr;

/// Every executor that this CPU can run.
fn executors() -> Vec<(Simd, CpuExecutor)> {
    [Simd::Scalar, Simd::Avx2, Simd::Avx512]
        .into_iter()
        .filter_map(|simd| Some((simd, CpuExecutor::with_simd(simd, CpuOptions::default())?)))
        .collect()
}

fn sha256(parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    Digest(hasher.finalize().into())
}

/// Element k of vector x: "Operands".
fn element(state: &State, product: u32, operand: u32, x: u32, k: u32) -> f64 {
    let word = |at: usize| u32::from_be_bytes(state.0[4 * at..4 * at + 4].try_into().unwrap());
    let counter = [k / 2, x, 2 * product + operand, word(2)];
    let y = rand_philox::philox4x32_10(counter, [word(0), word(1)]);
    let (lo, hi) = if k.is_multiple_of(2) { (y[0], y[1]) } else { (y[2], y[3]) };
    let mantissa = (u64::from(hi) << 32 | u64::from(lo)) >> 12;
    f64::from_bits(0x4000_0000_0000_0000 | mantissa) - 3.0
}

/// One leaf's message: "Product" and "Leaves".
fn leaf_message(dim: u32, state: &State, place: LeafPlace) -> Vec<u8> {
    let (wm, wn) = (place.leaf >> 7, place.leaf >> 5 & 3);
    let (gamma, tau) = (place.leaf >> 2 & 7, place.leaf & 3);
    let mut message = Vec::new();
    for a in 0..8 {
        let row = place.tile_row * 128 + wm * 64 + gamma + 8 * a;
        for (b, e) in (0..4).flat_map(|b| [(b, 0), (b, 1)]) {
            let column = place.tile_column * 128 + wn * 32 + 2 * tau + 8 * b + e;
            let output = (0..dim).fold(0.0, |sum, k| {
                let left = element(state, place.product, 0, row, k);
                f64::mul_add(left, element(state, place.product, 1, column, k), sum)
            });
            message.extend(output.to_bits().to_be_bytes());
        }
    }
    message
}

#[test]
fn leaves_equal_the_scalar_definition() {
    // 128: one chunk of k; 1152: nine tiles a side; 1024 with the last tile
    // and product: the largest vector numbers, and columns that end a panel.
    for (dim, products) in [(128u32, 2), (384, 3), (1024, 1), (1152, 2)] {
        let state = sha256(&[b"leaves", &dim.to_be_bytes()]);
        let shape = Fp64Product { dim, products };
        let last = shape.tiles_per_side() - 1;
        let tiles = [(0, 0, 0), (products - 1, last, 0), (products - 1, last / 2, last)];
        // First, last, and one whose four fields, 1, 1, 6 and 3, don't look alike.
        let leaves = [0, 255, 1 << 7 | 1 << 5 | 6 << 2 | 3];
        let expected: Vec<Digest> = tiles
            .iter()
            .flat_map(|tile| leaves.map(|leaf| (tile, leaf)))
            .map(|(tile, leaf)| {
                let &(product, tile_row, tile_column) = tile;
                let place = LeafPlace { product, tile_row, tile_column, leaf };
                sha256(&[&[0], &leaf_message(dim, &State(state.0), place)])
            })
            .collect();
        let at = IterationPlace::of_state(State(state.0));
        let tiles =
            tiles.map(|(j, row, column)| TileRequest { at, tile: shape.tile(j, row, column) });
        for (simd, mut executor) in executors() {
            let hashes = executor.leaf_hashes(&shape.into(), &tiles).unwrap();
            let got: Vec<Digest> =
                hashes.iter().flat_map(|tile| leaves.map(|leaf| tile[leaf as usize])).collect();
            assert_eq!(got, expected, "{simd}, n = {dim}");
        }
    }
}

#[test]
fn instruction_sets_agree_on_every_tile() {
    // 1152 is cut into blocks of unequal sizes, 256 in blocks of one tile.
    for (dim, products) in [(128, 1), (256, 3), (1152, 1)] {
        let shape = Fp64Product { dim, products };
        let segment = segment(1, State(sha256(&[b"agree"]).0));
        let outputs: Vec<_> = executors()
            .into_iter()
            // Without vectors the large shape would take minutes.
            .filter(|(simd, _)| dim < 1000 || *simd != Simd::Scalar)
            .map(|(_, mut executor)| {
                let mut roots = Vec::new();
                executor.begin(&shape.into()).unwrap();
                executor
                    .run(&segment, &mut |output| {
                        roots = output.tile_roots.to_vec();
                        ControlFlow::Continue(())
                    })
                    .unwrap();
                roots
            })
            .collect();
        for roots in &outputs {
            assert_eq!(roots.len() as u64, shape.tiles());
        }
        for pair in outputs.windows(2) {
            assert!(pair[0] == pair[1], "tile roots differ at n = {dim}");
        }
    }
}

#[test]
fn tile_roots_are_the_trees_of_the_leaf_hashes() {
    let shape = Fp64Product { dim: 640, products: 2 };
    let state = State(sha256(&[b"trees"]).0);
    for (simd, mut executor) in executors() {
        let mut roots = Vec::new();
        let mut keep = |output: attest::executor::IterationOutput<'_>| {
            roots = output.tile_roots.to_vec();
            ControlFlow::Continue(())
        };
        executor.begin(&shape.into()).unwrap();
        executor.run(&segment(1, state), &mut keep).unwrap();
        let tile = TileRequest { at: IterationPlace::of_state(state), tile: 25 + 3 * 5 + 4 };
        let hashes = executor.leaf_hashes(&shape.into(), &[tile]).unwrap().remove(0);
        let root = attest::protocol::merkle::root(&hashes).unwrap();
        assert_eq!(root, roots[25 + 3 * 5 + 4], "{simd}");
    }
}

fn segment(iterations: u32, start: State) -> Segment {
    Segment { first_iteration: 1, iterations, start, solo_sync: None }
}

/// Every verifier that this CPU can run.
fn verifiers() -> Vec<(Simd, CpuVerifier)> {
    [Simd::Scalar, Simd::Avx2, Simd::Avx512]
        .into_iter()
        .filter_map(|simd| Some((simd, CpuVerifier::with_simd(simd)?)))
        .collect()
}

#[test]
fn sampled_leaves_equal_the_tiles_they_lie_in() {
    let mut executor = CpuExecutor::new(CpuOptions::default());
    // (n, m, states, leaves): many of one product, so that rows and columns are
    // shared, chunks of k are shortest and cores split the product; few of many
    // products; the same leaf twice.
    for (dim, products, states, leaves) in
        [(128, 1, 1, 900), (256, 3, 5, 40), (1152, 1, 1, 700), (640, 2, 2, 2)]
    {
        let shape = Fp64Product { dim, products };
        let mut requests: Vec<LeafRequest> = (0..leaves)
            .map(|i: u32| {
                let random = sha256(&[b"sample", &dim.to_be_bytes(), &i.to_be_bytes()]).0;
                let index = u64::from_be_bytes(random[..8].try_into().unwrap());
                let at = IterationPlace::of_state(State(sha256(&[&[(i % states) as u8]]).0));
                LeafRequest { at, leaf: index % shape.leaves() }
            })
            .collect();
        requests.push(requests[0]);
        let mut tiles: Vec<TileRequest> = requests.iter().map(tile_of).collect();
        tiles.sort_by_key(|tile| (tile.at.state, tile.tile));
        tiles.dedup();
        let hashes = executor.leaf_hashes(&shape.into(), &tiles).unwrap();
        let run = RunInputs { work: shape.into(), seeds: &[] };
        let expected: Vec<Digest> = requests
            .iter()
            .map(|request| {
                let at = tiles.iter().position(|tile| *tile == tile_of(request)).unwrap();
                hashes[at][(request.leaf % 256) as usize]
            })
            .collect();
        for (simd, verifier) in verifiers() {
            if simd == Simd::Scalar && dim > 1000 {
                continue; // minutes
            }
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let got = pool.install(|| verifier.leaf_hashes(&run, &requests).unwrap());
                assert!(got == expected, "{simd}, n = {dim}, {threads} threads");
            }
        }
    }
}

fn tile_of(request: &LeafRequest) -> TileRequest {
    TileRequest { at: request.at, tile: request.leaf / 256 }
}

#[test]
fn no_leaves_are_no_hashes() {
    let run = RunInputs { work: Fp64Product { dim: 128, products: 1 }.into(), seeds: &[] };
    for (_, verifier) in verifiers() {
        assert_eq!(verifier.leaf_hashes(&run, &[]).unwrap(), []);
    }
}

#[test]
fn whole_iterations_verify() {
    let vector = &vectors()[0].1;
    let (states, roots) = &vector.lanes[0];
    for (simd, mut verifier) in verifiers() {
        for (i, root) in roots.iter().enumerate() {
            let run = RunInputs { work: vector.shape.into(), seeds: &states[..1] };
            let at = IterationPlace { lane: 0, iteration: i as u32 + 1, state: states[i] };
            let got = verifier.iteration_root(&run, &at).unwrap();
            assert_eq!(got, *root, "{simd}, iteration {}", i + 1);
        }
    }
}

#[test]
fn the_best_instruction_set_is_one_that_runs() {
    assert!(CpuExecutor::with_simd(detect_simd(), CpuOptions::default()).is_some());
    assert!(CpuVerifier::with_simd(Simd::Scalar).is_some());
}

#[test]
fn a_break_stops_the_run() {
    for (simd, mut executor) in executors() {
        executor.begin(&Fp64Product { dim: 128, products: 1 }.into()).unwrap();
        let segment = segment(5, State([7; 32]));
        let mut seen = 0;
        let result = executor.run(&segment, &mut |output| {
            seen = output.iteration;
            if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(result, Err(ExecError::Stopped)), "{simd}");
        assert_eq!(seen, 2, "{simd}");
        assert_eq!(executor.sm_tiles().unwrap(), SmTiles::NotApplicable);
    }
}

#[test]
fn uuids_are_the_given_one_or_differ() {
    let given = Uuid([9; 16]);
    let uuid = |uuid| CpuExecutor::new(CpuOptions { uuid, ..CpuOptions::default() }).facts().uuid;
    assert_eq!(uuid(Some(given)), given);
    assert_ne!(uuid(None), uuid(None));
}

#[test]
fn cores_are_left_to_others_as_long_as_one_is_left() {
    let shape = Fp64Product { dim: 640, products: 1 };
    let roots = |cores_left: usize, pool: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(pool).build().unwrap();
        pool.install(|| {
            let mut executor = CpuExecutor::new(CpuOptions { cores_left, ..CpuOptions::default() });
            let mut roots = Vec::new();
            let mut keep = |output: attest::executor::IterationOutput<'_>| {
                roots.push(output.root);
                ControlFlow::Continue(())
            };
            executor.begin(&shape.into()).unwrap();
            executor.run(&segment(2, State([5; 32])), &mut keep).unwrap();
            let tile = TileRequest { at: IterationPlace::of_state(State([5; 32])), tile: 7 };
            let hashes = executor.leaf_hashes(&shape.into(), &[tile]).unwrap();
            (executor.facts().details.threads, roots, hashes)
        })
    };
    let (all, expected, hashes) = roots(0, 4);
    assert_eq!(all, Some(4));
    for (cores_left, threads) in [(1, 3), (3, 1), (4, 1), (100, 1)] {
        let of_fewer = (Some(threads), expected.clone(), hashes.clone());
        assert_eq!(roots(cores_left, 4), of_fewer, "{cores_left}");
    }
}

/// The parts of a vector file that an executor alone must reproduce.
struct Vector {
    challenge: Digest,
    shape: Fp64Product,
    sync_interval: u32,
    /// Per lane: s(g,0) … s(g,T) and D(g,1) … D(g,T).
    lanes: Vec<(Vec<State>, Vec<Root>)>,
    leaf_5: Digest,
}

fn digests<T: FromStr<Err: Debug>>(value: &Value) -> Vec<T> {
    value.as_array().unwrap().iter().map(digest).collect()
}

fn digest<T: FromStr<Err: Debug>>(value: &Value) -> T {
    value.as_str().unwrap().parse().unwrap()
}

/// Those of FP64 products.
fn vectors() -> Vec<(String, Vector)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors");
    let mut vectors = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let Some(token) = file["challenge"].as_str() else { continue };
        let decoded = base64::engine::general_purpose::STANDARD.decode(token).unwrap();
        let spec: Value = serde_json::from_slice(&decoded).unwrap();
        if spec["challenge_type"] != "matrix_multiplication_pow" {
            continue;
        }
        let number = |field: &str| spec[field].as_u64().unwrap() as u32;
        let lanes = file["result"]["lanes"].as_array().unwrap();
        let lanes = lanes.iter().enumerate().map(|(lane, entry)| {
            let mut states: Vec<State> = vec![digest(&file["lane_seeds"][lane])];
            states.extend(digests::<State>(&file["states"][lane]));
            (states, digests(&entry["iteration_roots"]))
        });
        let vector = Vector {
            challenge: sha256(&[&decoded]),
            shape: Fp64Product { dim: number("matrix_dim"), products: number("num_matrices") },
            sync_interval: number("sync_interval"),
            lanes: lanes.collect(),
            leaf_5: digest(&file["lane0_iteration1_leaf5"]["hash"]),
        };
        vectors.push((path.file_stem().unwrap().to_string_lossy().into_owned(), vector));
    }
    assert!(vectors.len() >= 6, "vector files are missing from {folder}");
    vectors
}

#[test]
fn vectors_reproduce() {
    for (name, vector) in vectors() {
        for (simd, mut executor) in executors() {
            executor.begin(&vector.shape.into()).unwrap();
            for (lane, (states, roots)) in vector.lanes.iter().enumerate() {
                // Each iteration by itself, from the state that the file gives.
                let mut got = Vec::new();
                for (i, state) in states[..roots.len()].iter().enumerate() {
                    let mut segment = segment(1, *state);
                    segment.first_iteration = i as u32 + 1;
                    executor
                        .run(&segment, &mut |output| {
                            assert_eq!(output.iteration, i as u32 + 1);
                            got.push(output.root);
                            ControlFlow::Continue(())
                        })
                        .unwrap();
                }
                assert_eq!(&got, roots, "{name}, lane {lane}, {simd}");
            }
            // A single lane takes its sync steps by itself.
            if let [(states, roots)] = vector.lanes.as_slice() {
                let solo = SoloSync { challenge: vector.challenge, interval: vector.sync_interval };
                let mut segment = segment(roots.len() as u32, states[0]);
                segment.solo_sync = Some(solo);
                let mut got = Vec::new();
                executor
                    .run(&segment, &mut |output| {
                        got.push(output.root);
                        ControlFlow::Continue(())
                    })
                    .unwrap();
                assert_eq!(&got, roots, "{name}, in one segment, {simd}");
            }
            let state = vector.lanes[0].0[0];
            let tile = TileRequest { at: IterationPlace::of_state(state), tile: 0 };
            let hashes = executor.leaf_hashes(&vector.shape.into(), &[tile]).unwrap();
            assert_eq!(hashes[0][5], vector.leaf_5, "{name}, leaf 5, {simd}");
        }
    }
}
