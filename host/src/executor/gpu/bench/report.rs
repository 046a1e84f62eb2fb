//! What a measurement found, for people and for machines.

use super::{Conditions, Phases};
use serde::{Serialize, Serializer};
use std::fmt;

/// One side's turns.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Side {
    /// TFLOP/s of each turn, in order.
    pub turns_tflops: Vec<f64>,
    /// Their median.
    pub median_tflops: f64,
    /// The device meanwhile; absent without NVML.
    pub conditions: Option<Conditions>,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BenchReport {
    /// The device.
    pub device: String,
    /// The kernels, such as "sm_90a/gemm_m16n8k16".
    pub variant: String,
    /// Rows and columns of a matrix (n).
    pub dim: u32,
    /// Products of an iteration (m).
    pub products: u32,
    /// Device memory of the plan, bytes.
    pub device_bytes: u64,
    /// The whole loop.
    pub attested: Side,
    /// The product alone.
    pub bare: Side,
    /// cuBLAS's batched DGEMM, or why there is none.
    #[serde(serialize_with = "side_or_reason")]
    pub cublas: Result<Side, String>,
    /// cuBLAS's version, 0 without one.
    pub cublas_version: i32,
    /// attested ÷ cuBLAS.
    pub attested_to_cublas: Option<f64>,
    /// bare ÷ cuBLAS.
    pub bare_to_cublas: Option<f64>,
    /// Each phase.
    pub phases: Phases,
    /// CPU time of the process per second of attested running, in cores.
    pub host_cores: Option<f64>,
}

/// A side, or `{"unavailable": reason}`.
fn side_or_reason<S: Serializer>(
    cublas: &Result<Side, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match cublas {
        Ok(side) => side.serialize(serializer),
        Err(reason) => serde_json::json!({ "unavailable": reason }).serialize(serializer),
    }
}

/// The middle value, or the mean of the two middle ones.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

impl fmt::Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { phases, .. } = self;
        writeln!(f, "{}  {}  n = {}, m = {}", self.device, self.variant, self.dim, self.products)?;
        let side = |name: &str, side: &Side, ratio: Option<f64>| {
            let turns: Vec<_> = side.turns_tflops.iter().map(|t| format!("{t:.2}")).collect();
            let ratio = ratio.map_or(String::new(), |r| format!("  {r:.3} × cuBLAS"));
            format!(
                "  {name:<16}{:>8.2} TFLOP/s  ({}){ratio}",
                side.median_tflops,
                turns.join(", ")
            )
        };
        writeln!(f, "{}", side("attested", &self.attested, self.attested_to_cublas))?;
        writeln!(f, "{}", side("bare product", &self.bare, self.bare_to_cublas))?;
        match &self.cublas {
            Ok(cublas) => {
                writeln!(f, "{}  version {}", side("cuBLAS", cublas, None), self.cublas_version)?;
            }
            Err(reason) => writeln!(f, "  cuBLAS          {reason}")?,
        }
        writeln!(f, "  fill            {:>10.4} ms  {:.2} TB/s", phases.fill_ms, phases.fill_tb_s)?;
        writeln!(f, "  product         {:>10.4} ms  ({:.4} ms bare)", phases.product_ms, {
            phases.bare_product_ms
        })?;
        writeln!(f, "  tree and step   {:>10.4} ms", phases.tree_and_step_ms)?;
        writeln!(f, "  iteration       {:>10.4} ms", phases.iteration_ms)?;
        if let Some(cores) = self.host_cores {
            writeln!(f, "  host            {:>9.1} % of a core", cores * 100.0)?;
        }
        write!(f, "  device memory   {} bytes", self.device_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn a_report_without_cublas_says_why() {
        let side =
            Side { turns_tflops: vec![50.0, 52.0, 51.0], median_tflops: 51.0, conditions: None };
        let report = BenchReport {
            device: "GPU 0 (NVIDIA H200)".into(),
            variant: "sm_90a/gemm_m16n8k16".into(),
            dim: 4096,
            products: 8,
            device_bytes: 1,
            attested: side.clone(),
            bare: side,
            cublas: Err("cuBLAS cannot be loaded: not here".into()),
            cublas_version: 0,
            attested_to_cublas: None,
            bare_to_cublas: None,
            phases: Phases {
                fill_ms: 1.0,
                product_ms: 20.0,
                bare_product_ms: 19.0,
                tree_and_step_ms: 0.1,
                iteration_ms: 21.2,
                fill_tb_s: 4.1,
            },
            host_cores: Some(0.012),
        };
        let text = report.to_string();
        for part in ["51.00 TFLOP/s", "not here", "4.10 TB/s", "1.2 % of a core"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["cublas"]["unavailable"], "cuBLAS cannot be loaded: not here");
        assert_eq!(json["attested"]["median_tflops"], 51.0);
    }
}
