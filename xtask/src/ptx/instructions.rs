//! The instructions of an entry point's body, as far as the checks care: which
//! of them threads meet at, and which end a kernel otherwise than by `ret`.

use gpu_kernels::declaration::SyncCounts;

/// What a body has.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// What the table declares.
    pub sync: SyncCounts,
    /// Instructions that no kernel may have, each as often as it stands there.
    pub refused: Vec<String>,
}

/// One instruction: its opcode with all suffixes, and whether a predicate guards it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction<'a> {
    opcode: &'a str,
    guarded: bool,
}

/// The instructions of `body`, in its order; directives and labels left out.
fn instructions(body: &str) -> impl Iterator<Item = Instruction<'_>> {
    body.split([';', '{', '}']).filter_map(|statement| {
        let mut words = statement.split_whitespace().skip_while(|word| word.ends_with(':'));
        let first = words.next()?;
        let guarded = first.starts_with('@');
        let opcode = if guarded { words.next()? } else { first };
        let is_opcode = opcode.starts_with(|c: char| c.is_ascii_lowercase());
        is_opcode.then_some(Instruction { opcode, guarded })
    })
}

/// Counts what `body`, in braces, has.
pub fn count(body: &str) -> Counted {
    let mut counted = Counted::default();
    for Instruction { opcode, guarded } in instructions(body) {
        let is = |names: &[&str]| names.iter().any(|name| is_named(opcode, name));
        let sync = &mut counted.sync;
        let counter = if is(&["bar.warp.sync"]) {
            Some(&mut sync.warp_barriers)
        } else if is(&["shfl.sync"]) {
            Some(&mut sync.shuffles)
        } else if is(&["bar.sync", "bar.cta.sync", "barrier.sync", "barrier.cta.sync"]) {
            Some(&mut sync.block_barriers)
        } else if is(&["mbarrier.try_wait", "mbarrier.test_wait"]) {
            Some(&mut sync.waits)
        } else if is(&["setmaxnreg"]) {
            Some(&mut sync.hand_overs)
        } else if is(&["cp.async.bulk.commit_group", "cp.async.bulk.wait_group"]) {
            None
        } else if is(&["cp.async.bulk"]) {
            Some(&mut sync.bulk_copies)
        } else {
            // A kind of barrier that the table can't declare, or another way out.
            if is(&["bar", "barrier", "shfl", "trap", "exit", "brkpt"]) {
                counted.refused.push(opcode.to_owned());
            }
            continue;
        };
        let must_converge = !is(&["mbarrier", "cp"]);
        if guarded && must_converge {
            counted.refused.push(format!("{opcode} under a predicate"));
        }
        if let Some(counter) = counter {
            *counter += 1;
        }
    }
    counted
}

/// Whether `opcode` is `name`, or `name` with more suffixes.
fn is_named(opcode: &str, name: &str) -> bool {
    opcode.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_meet_at_is_counted_in_either_compilers_words() {
        let body = "{
	.reg .pred %p<2>;
	bar.sync 0;
	bar.sync 	1, 128;
	barrier.sync 1, 128;
$L__BB0_1:
	{ .reg .pred over;
	mbarrier.try_wait.parity.shared::cta.b64 over, [%r1], %r2;
	selp.u32 %r3, 1, 0, over; }
	@%p1 bra $L__BB0_1;
	bar.warp.sync 0xffffffff;
	shfl.sync.bfly.b32 %r4, %r5, 16, 31, -1;
	setmaxnreg.inc.sync.aligned.u32 208;
	cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%rd1], %r2, [%r3];
	cp.async.bulk.wait_group 0;
	cp.async.cg.shared.global [%r1], [%rd1], 16;
	mbarrier.arrive.shared::cta.b64 state, [%r1];
	ret;
}";
        let sync = SyncCounts {
            block_barriers: 3,
            warp_barriers: 1,
            shuffles: 1,
            waits: 1,
            hand_overs: 1,
            bulk_copies: 1,
        };
        assert_eq!(count(body), Counted { sync, refused: Vec::new() });
    }

    #[test]
    fn ways_out_and_unknown_barriers_are_refused() {
        for refused in ["trap", "exit", "brkpt", "bar.arrive", "barrier.cta.red.popc.u32"] {
            for text in [format!("{{ {refused}; ret; }}"), format!("{{\n$L1:\n{refused} 1;\n}}")] {
                assert_eq!(count(&text).refused, [refused], "{text}");
            }
        }
        assert_eq!(count("{ @%p1 trap; }").refused, ["trap"]);
        assert_eq!(count("{ mov.u32 %trap, exit; bra.uni $exit; }"), Counted::default());
    }

    #[test]
    fn a_barrier_under_a_predicate_is_refused_and_counted() {
        let counted = count("{ @%p1 bar.sync 0; @!%p2 cp.async.bulk.x [a], [b], 1; }");
        assert_eq!(counted.refused, ["bar.sync under a predicate"]);
        assert_eq!((counted.sync.block_barriers, counted.sync.bulk_copies), (1, 1));
    }
}
