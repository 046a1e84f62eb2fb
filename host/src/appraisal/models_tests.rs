//! The built-in table against what its rows were written from.

use super::*;

#[test]
fn peaks_reproduce_what_the_vendor_prints() {
    // A wrong SM count, clock or rate of a chip is far more than 3 % off.
    for model in all() {
        let ratio = model.peak_flops() / (1e12 * model.printed_tflops);
        assert!((ratio - 1.0).abs() < 0.03, "{}: {ratio}", model.name);
    }
}

fn is_fp16(model: &Model) -> bool {
    is_fp16_faster(model.int8_mac_per_sm_clock, model.fp16_fma_per_sm_clock)
}

#[test]
fn int8_peaks_reproduce_what_the_vendor_prints() {
    for model in all() {
        let units = match is_fp16(model) {
            true => model.fp16_fma_per_sm_clock,
            false => model.int8_mac_per_sm_clock,
        };
        let ratio =
            1e-12 * flops(model.sm_count, model.boost_clock_mhz, units) / model.printed_int8_tops;
        // From Hopper on tensor cores are printed at lower clocks than the rest: 1830 of
        // 1980 MHz, 1620 of 1755, 1545 of 1785. A rate with sparsity would be twice as high.
        let most = if model.fp16_fma_per_sm_clock >= 2048 { 1.16 } else { 1.02 };
        assert!((0.98..most).contains(&ratio), "{}: {ratio}", model.name);
        assert!((0.1..0.8).contains(&model.int8_sustained_share), "{}", model.name);
        assert!(model.native_floor_int8_ops() < 0.9 * model.floor_int8_ops(), "{}", model.name);
    }
}

#[test]
fn integer_floors_are_the_printed_rates_at_the_highest_clock_and_a_tenth() {
    let tera = |name| 1e-12 * find(name).unwrap().floor_int8_ops();
    let close = |got: f64, expected: f64| (got / expected - 1.0).abs() < 5e-3;
    for (name, expected) in [
        ("Tesla T4", 1.1 * 130.0),
        ("NVIDIA A100-SXM4-80GB", 1.1 * 624.0),
        ("NVIDIA A40", 1.1 * 299.3),
        // 1979 at 1830 MHz.
        ("NVIDIA H200", 1.1 * 1979.0 * 1980.0 / 1830.0),
        ("NVIDIA GeForce RTX 4090", 1.1 * 660.6 * 3105.0 / 2520.0),
        // Where FP16 is faster: a quarter more. 2250 at 1856 MHz.
        ("Tesla V100-SXM2-16GB", 1.25 * 125.3),
        ("NVIDIA B300 SXM6 AC", 1.25 * 2250.0 * 2032.0 / 1856.0),
    ] {
        assert!(close(tera(name), expected), "{name}: {} {expected}", tera(name));
    }
    let fp16: Vec<&str> = all().iter().filter(|m| is_fp16(m)).map(|m| m.name.as_str()).collect();
    assert_eq!(fp16.len(), 7, "{fp16:?}");
    assert!(fp16.iter().all(|name| name.contains("V100") || name.contains("B300")));
}

#[test]
fn names_are_distinct_and_older_drivers_names_are_known() {
    for (at, model) in all().iter().enumerate() {
        // The first of two rows with one name would hide the second.
        assert_eq!(find(&model.name), Some(model));
        assert!(!all()[..at].iter().any(|other| other.name == model.name));
    }
    assert_eq!(find("A100-SXM4-40GB").map(|model| model.sm_count), Some(108));
    assert_eq!(find("NVIDIA Tesla T4").map(|model| model.sm_count), Some(40));
    for unknown in ["", "NVIDIA ", "NVIDIA H300", "NVIDIA H200 MIG 1g.18gb", "AMD EPYC"] {
        assert_eq!(floor_flops(unknown), None, "{unknown}");
    }
}

#[test]
fn the_floor_is_the_peak_at_the_highest_clock_and_a_tenth() {
    let floor = floor_flops("NVIDIA H200").unwrap();
    assert!((floor / (1.1 * 2.0 * 132.0 * 1980e6 * 128.0) - 1.0).abs() < 1e-12);
    for model in all() {
        let scale = f64::from(model.max_clock_mhz) / f64::from(model.boost_clock_mhz);
        assert!(scale >= 1.0, "{}", model.name);
        assert!(model.floor_flops() >= 1.0999 * scale * model.peak_flops(), "{}", model.name);
        assert!(model.floor_flops() >= model.native_floor_flops(), "{}", model.name);
    }
}

#[test]
fn what_a_device_says_of_itself_gives_the_tables_floor() {
    for (name, capability) in [
        ("NVIDIA H200", "9.0"),
        ("NVIDIA A30", "8.0"),
        ("NVIDIA B200", "10.0"),
        ("NVIDIA B300 SXM6 AC", "10.3"),
        ("NVIDIA L4", "8.9"),
        ("Tesla T4", "7.5"),
        ("Tesla V100-SXM2-16GB", "7.0"),
    ] {
        let model = find(name).unwrap();
        let (sms, clock) = (model.sm_count, model.max_clock_mhz);
        let same = |computed: f64, floor: f64| (computed / floor - 1.0).abs() < 1e-12;
        let fp64 = computed_floor_flops(sms, clock, capability);
        assert!(same(fp64, model.floor_flops()), "{name}");
        let int8 = computed_floor_int8_ops(sms, clock, capability);
        assert!(same(int8, model.floor_int8_ops()), "{name}");
    }
    let unknown = |capability| computed_floor_int8_ops(100, 1000, capability);
    assert!(unknown("99.9") >= unknown("10.0"));
    assert!(computed_floor_flops(100, 1000, "99.9") >= computed_floor_flops(100, 1000, "9.0"));
}

/// Blackwell has one name for chips a factor of thirty apart.
#[test]
fn blackwell_ultra_has_hardly_any_fp64_units() {
    let peak = |name| 1e-12 * find(name).unwrap().peak_flops();
    for (name, low, high) in [
        ("NVIDIA B200", 36.0, 40.0),
        ("NVIDIA GB200", 39.0, 45.0),
        ("NVIDIA B300 SXM6 AC", 1.2, 1.3),
        ("NVIDIA GB300", 1.2, 1.3),
    ] {
        assert!((low..high).contains(&peak(name)), "{name}: {}", peak(name));
        // The highest rate that any of the sources prints is no faster than F.
        assert!(1e-12 * find(name).unwrap().floor_flops() > 0.98 * high, "{name}");
    }
}

#[test]
fn few_fp64_units_leave_room_for_emulation() {
    // Two FP64 units an SM are slower than integer instructions may be: a
    // floor from them alone could refute an honest and clever miner.
    let l4 = find("NVIDIA L4").unwrap();
    // 128 instructions a clock, five for a multiply-add.
    assert!((l4.floor_flops() / l4.peak_flops() - 1.1 * 12.8).abs() < 1e-12);
    let v100 = find("Tesla V100-SXM2-16GB").unwrap();
    assert!((v100.floor_flops() / v100.peak_flops() - 1.1).abs() < 1e-12);
}
