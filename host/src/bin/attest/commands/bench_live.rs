//! The tables of `attest bench` while it measures: each row as it is known. Pure:
//! events in, text out.

use crate::commands::bench_tables::{
    INTEGERS, MEMORY, PRODUCTS, TOTALS, ceilings, details, failed, heading, integers, memory,
    product, total,
};
use crate::paint::{Columns, Paint};
use attest::bench::{BenchEvent, DeviceReport, IntegerRow, MemoryRow, Work};
use attest::executor::gpu::bench::Total;
use std::collections::HashSet;

/// Which table the last row was of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Products,
    Totals,
    Memory,
    Integers,
    Other,
}

/// Rows that wait for the end, so as not to cut the table before theirs in two.
#[derive(Default)]
struct Held {
    totals: Vec<Total>,
    memory: Vec<MemoryRow>,
    integers: Vec<IntegerRow>,
}

/// What was printed so far, and how wide the tables are.
pub struct Live {
    paint: Paint,
    shapes: Vec<String>,
    products: Columns,
    totals: Columns,
    memory: Columns,
    integers: Columns,
    section: Section,
    /// If there is more than one table.
    held: Option<Held>,
}

impl Live {
    /// For a report of `work`.
    pub fn new(work: &[Work], paint: Paint) -> Self {
        let tables: HashSet<_> = work.iter().map(std::mem::discriminant).collect();
        Self {
            paint,
            shapes: work.iter().map(ToString::to_string).collect(),
            products: Columns::of(&PRODUCTS.1),
            totals: Columns::of(&TOTALS.1),
            memory: Columns::of(&MEMORY.1),
            integers: Columns::of(&INTEGERS.1),
            section: Section::Other,
            held: (tables.len() > 1).then(Held::default),
        }
    }

    /// What is to be printed of `event`.
    pub fn text(&mut self, event: &BenchEvent) -> String {
        match event {
            BenchEvent::Step(_) => String::new(),
            BenchEvent::Device { report, variants } => {
                let names: Vec<String> = variants.iter().map(ToString::to_string).collect();
                let all =
                    [&mut self.products, &mut self.totals, &mut self.memory, &mut self.integers];
                for columns in all {
                    self.shapes.iter().for_each(|shape| columns.fit([&**shape]));
                    names.iter().for_each(|name| columns.fit(["", &**name]));
                }
                // The kernel is another than the one of FP64 that stands in the heading.
                self.integers.fit(["", "portable/int8_m16n8k32"]);
                // "0.0521 s", "0.0521, 0.0522, 0.0520".
                let runs = vec!["0.0000"; report.turns as usize].join(", ");
                self.totals.fit(["", "", "0.0000 s", "0.0000 s", &*runs]);
                self.memory.fit(["000.0 GB", "", "0000 ms"]);
                heading(report, self.paint)
            }
            BenchEvent::Ceilings(of) => {
                self.section = Section::Other;
                ceilings(of, self.paint)
            }
            BenchEvent::Row(row) => {
                let line = self.products.line(&product(row));
                self.begin(Section::Products) + &line
            }
            BenchEvent::Total(total) => match &mut self.held {
                Some(held) => {
                    held.totals.push((**total).clone());
                    String::new()
                }
                None => self.total(total),
            },
            BenchEvent::Memory(row) => match &mut self.held {
                Some(held) => {
                    held.memory.push((**row).clone());
                    String::new()
                }
                None => self.arena(row),
            },
            BenchEvent::Integers(row) => match &mut self.held {
                Some(held) => {
                    held.integers.push((**row).clone());
                    String::new()
                }
                None => self.integer(row),
            },
            BenchEvent::Failed(of) => {
                self.section = Section::Other;
                failed(of, self.paint)
            }
        }
    }

    /// What is left to be printed once all is measured.
    pub fn rest(&mut self, report: &DeviceReport) -> String {
        let held = self.held.take().unwrap_or_default();
        let mut out: String = held.totals.iter().map(|total| self.total(total)).collect();
        out.extend(held.memory.iter().map(|row| self.arena(row)));
        out.extend(held.integers.iter().map(|row| self.integer(row)));
        out + &details(report, self.paint)
    }

    fn total(&mut self, of: &Total) -> String {
        let line = self.totals.line(&total(of));
        self.begin(Section::Totals) + &line
    }

    fn arena(&mut self, row: &MemoryRow) -> String {
        let line = self.memory.line(&memory(row));
        self.begin(Section::Memory) + &line
    }

    fn integer(&mut self, row: &IntegerRow) -> String {
        let line = self.integers.line(&integers(row));
        self.begin(Section::Integers) + &line
    }

    /// The title and header of a table, unless it is the one that is under way.
    fn begin(&mut self, section: Section) -> String {
        if self.section == section {
            return String::new();
        }
        self.section = section;
        let (title, header) = match section {
            Section::Products => (PRODUCTS.0, self.products.line(&PRODUCTS.1)),
            Section::Totals => (TOTALS.0, self.totals.line(&TOTALS.1)),
            Section::Memory => (MEMORY.0, self.memory.line(&MEMORY.1)),
            Section::Integers => (INTEGERS.0, self.integers.line(&INTEGERS.1)),
            Section::Other => return String::new(),
        };
        format!("\n{}\n{header}", self.paint.strong(title))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::bench_tables::tests::device;
    use attest::executor::gpu::Variant;
    use attest::protocol::work::fp64_product::Fp64Product;

    fn events(report: &DeviceReport) -> Vec<BenchEvent> {
        let variants = Variant::all_for(attest::executor::gpu::Capability { major: 9, minor: 0 });
        let (row, total) = (report.rows[0].clone(), report.totals[0].clone());
        vec![
            BenchEvent::Device { report: Box::new(report.clone()), variants },
            BenchEvent::Ceilings(report.ceilings[0].clone()),
            BenchEvent::Step("4096x8".to_owned()),
            BenchEvent::Row(Box::new(row.clone())),
            BenchEvent::Total(Box::new(total)),
            BenchEvent::Row(Box::new(row)),
            BenchEvent::Memory(Box::new(report.memory[0].clone())),
            BenchEvent::Integers(Box::new(report.integers[0].clone())),
            BenchEvent::Failed(report.failed[0].clone()),
        ]
    }

    const SUSTAINED: Work = Work::Sustained(Fp64Product { dim: 4096, products: 8 });
    const ARENA: Work = Work::Arena(90);
    const TOTAL: Work = Work::Total(Fp64Product { dim: 1024, products: 1 }, 1000);

    #[test]
    fn every_row_is_printed_when_it_is_known_and_every_figure_in_the_end() {
        let report = device();
        let mut live = Live::new(&[SUSTAINED, TOTAL, ARENA], Paint::Plain);
        let texts: Vec<String> = events(&report).iter().map(|event| live.text(event)).collect();
        assert!(texts[0].contains("132 SMs at up to 1980 MHz"), "{}", texts[0]);
        assert!(texts[1].contains("peak_m16n8k16"), "{}", texts[1]);
        assert_eq!(texts[2], "");
        assert!(texts[3].starts_with("\nProducts") && texts[3].contains("54.30"), "{}", texts[3]);
        assert_eq!(texts[4], "", "it would cut the products' table in two");
        assert_eq!(texts[5].lines().count(), 1, "the same table goes on");
        let place = |text: &str| text.lines().last().and_then(|line| line.find("54.30"));
        assert_eq!(place(&texts[3]), place(&texts[5]), "columns stand under each other");
        assert_eq!(texts[6], "", "so would this");
        assert_eq!(texts[7], "", "and this");
        assert!(texts[8].contains("not measured: x.ptx/gemm_fma\n  refused\n  try another"));
        let all = texts.concat() + &live.rest(&report);
        for part in [
            "132 SMs at up to 1980 MHz, 150.0 GiB, driver 580.82.07",
            "\nabsent: y/gemm_fma: it is compiled for sm_120\n",
            "132 SMs x 128 FMA x 1980 MHz = 66.9 TFLOP/s",
            "56.20",
            "0.820",
            "1.23",
            "1.2 %",
            "0.50 %",
            "4.19",
            "54.10, 54.30, 54.40",
            "699",
            "1605",
            "SW_POWER_CAP",
            "1024x1x1000",
            "0.1205 s",
            "cuBLAS cannot be loaded: not here",
            "Memory residency, TB/s",
            "135.1 GB",
            "611 ms",
            "4.416",
            "0.960",
            "0.990",
            "Integer products, TOPS",
            "int8:8192x1",
            "590.50",
            "640.25",
            "0.671",
            "cuBLASLt's version: 130100",
        ] {
            assert!(all.contains(part), "{part:?} is missing in:\n{all}");
        }
        assert_eq!(all.matches("From first to last").count(), 1);
        assert!(all.lines().all(|line| line.chars().count() <= 140), "too wide:\n{all}");
    }

    #[test]
    fn totals_alone_do_not_wait() {
        let report = device();
        let mut live = Live::new(&[TOTAL], Paint::Plain);
        let texts: Vec<String> = events(&report).iter().map(|event| live.text(event)).collect();
        assert!(texts[4].starts_with("\nFrom first to last\n"), "{}", texts[4]);
        assert!(!live.rest(&report).contains("From first to last"));
    }

    #[test]
    fn arenas_alone_do_not_wait() {
        let report = device();
        let mut live = Live::new(&[ARENA], Paint::Plain);
        let texts: Vec<String> = events(&report).iter().map(|event| live.text(event)).collect();
        assert!(texts[6].starts_with("\nMemory residency, TB/s\n"), "{}", texts[6]);
        assert!(!live.rest(&report).contains("Memory residency"));
    }
}
