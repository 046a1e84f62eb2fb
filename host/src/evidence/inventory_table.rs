//! Tables over several devices: what they are, how they are joined, how fast
//! that is.

use crate::protocol::evidence::machine::{
    Bandwidth, DeviceEntry, Figure, NvmlSource, NvmlView, PeerBandwidth, Way,
};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Rows with columns as wide as their longest cell; the last cell is not padded.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn escaped(text: &str) -> String {
    text.escape_debug().to_string()
}

/// Memory in words; a driver that says 0 does not know it.
pub(super) fn gib_text(bytes: u64) -> String {
    match bytes {
        0 => "not known".to_owned(),
        bytes => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

/// One line per device.
pub(super) fn devices_table(devices: &[DeviceEntry], nvml: &NvmlView) -> String {
    let heads = ["GPU", "name", "PCI id", "SMs", "memory", "ECC", "SM MHz", "W", "°C", "NVLinks"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for device in devices {
        let managed = nvml.device_at(&device.pci_id);
        let unknown = || "?".to_owned();
        let of_most = |now: Option<u32>, most: Option<u32>| match (now, most) {
            (None, None) => unknown(),
            (now, most) => {
                let text = |value: Option<u32>| value.map_or_else(unknown, |v| v.to_string());
                format!("{}/{}", text(now), text(most))
            }
        };
        let watts = |milliwatts: Option<u32>| milliwatts.map(|value| value / 1000);
        rows.push(vec![
            device.index.to_string(),
            escaped(&device.name),
            device.pci_id.clone(),
            device.sm_count.to_string(),
            gib_text(device.memory_bytes),
            if device.ecc { "on" } else { "off" }.to_owned(),
            of_most(managed.and_then(|m| m.sm_clock_mhz), Some(device.clock_khz / 1000)),
            of_most(
                watts(managed.and_then(|m| m.power_mw)),
                watts(managed.and_then(|m| m.power_limit_mw)),
            ),
            managed.and_then(|m| m.temperature_c).map_or_else(unknown, |c| c.to_string()),
            managed.filter(|m| !m.nvlinks.is_empty()).map_or_else(
                || "none".to_owned(),
                |m| format!("{} of {} up", m.nvlinks_active(), m.nvlinks.len()),
            ),
        ]);
    }
    table(&rows)
}

/// How the devices are joined; nothing if there is one.
pub(super) fn joined(peer_access: &[String], nvml: &NvmlView) -> String {
    let mut text = String::new();
    if peer_access.len() > 1 {
        let places = || peer_access.iter().flat_map(|row| row.chars());
        let pairs = places().filter(|&place| place != '-').count();
        let able = places().filter(|&place| place == '1').count();
        if able == pairs {
            text.push_str("peer access: between all of them\n");
        } else if able == 0 {
            text.push_str("peer access: none\n");
        } else {
            let _ = writeln!(text, "peer access, from row to column: 1 yes, 0 no, ? unknown");
            for (at, row) in peer_access.iter().enumerate() {
                let _ = writeln!(text, "  {at:<4}{row}");
            }
        }
    }
    if let NvmlView::Loaded(NvmlSource { topology, .. }) = nvml
        && !topology.is_empty()
    {
        let kinds: BTreeSet<&str> = topology.iter().map(|pair| pair.ancestor).collect();
        let of_kind = |kind: &&str| {
            let pairs = topology.iter().filter(|pair| pair.ancestor == *kind);
            let pairs: Vec<String> =
                pairs.map(|pair| format!("{}-{}", pair.devices[0], pair.devices[1])).collect();
            format!("{kind} ({})", pairs.join(" "))
        };
        let told: Vec<String> = match kinds.len() {
            1 => kinds.iter().map(|kind| format!("{kind}, each pair")).collect(),
            _ => kinds.iter().map(of_kind).collect(),
        };
        let _ = writeln!(text, "in common over PCIe (NVML's numbers): {}", told.join(", "));
    }
    text
}

/// What was measured, 10⁹ bytes a second.
pub(super) fn bandwidth(measured: &Bandwidth) -> String {
    let mut text = "bandwidth, 10^9 bytes/s, medians\n".to_owned();
    let heads = ["GPU", "memory, read and written", "from pinned host memory", "to it"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for device in &measured.devices {
        let figures = [&device.memory, &device.to_device, &device.to_host].map(figure);
        rows.push([device.index.to_string()].into_iter().chain(figures).collect());
    }
    text.push_str(&table(&rows));
    if measured.peers.is_empty() {
        return text;
    }
    text.push_str("from row to column; * through the host: no access between the two\n");
    let numbers: Vec<u32> = measured.devices.iter().map(|device| device.index).collect();
    let mut rows = vec![vec!["GPU".to_owned()]];
    rows[0].extend(numbers.iter().map(u32::to_string));
    for &from in &numbers {
        let mut row = vec![from.to_string()];
        row.extend(numbers.iter().map(|&to| {
            let pair = measured.peers.iter().find(|pair| (pair.from, pair.to) == (from, to));
            pair.map_or_else(|| "-".to_owned(), peer)
        }));
        rows.push(row);
    }
    text.push_str(&table(&rows));
    let unknown = measured.peers.iter().find_map(|pair| match &pair.copy {
        Figure::Unknown { unknown } => Some(format!("{} to {}: {unknown}", pair.from, pair.to)),
        Figure::Measured(_) => None,
    });
    text.extend(unknown.map(|unknown| format!("?: {unknown}\n")));
    text
}

fn peer(pair: &PeerBandwidth) -> String {
    match (&pair.copy, pair.way) {
        (Figure::Unknown { .. }, _) => "?".to_owned(),
        (measured, Way::Direct) => figure(measured),
        (measured, Way::ThroughHost) => format!("{}*", figure(measured)),
    }
}

fn figure(figure: &Figure) -> String {
    match figure {
        Figure::Measured(rate) => format!("{:.1}", rate.bytes_per_s as f64 / 1e9),
        Figure::Unknown { unknown } => format!("unknown ({unknown})"),
    }
}
