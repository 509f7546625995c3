//! Sizes in bytes as Podman's flags take them.

/// Why a text is no size.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a size (a number, then b, k, m, g or t)")]
pub struct SizeError(String);

/// Parses `512`, `64m`, `1.5GiB` into bytes; units count by 1024 (podman-run(1), `--memory`).
///
/// # Errors
/// Not a number, an unknown unit, negative, or beyond 2^63 bytes.
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let error = || SizeError(text.chars().take(40).collect());
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(error()),
    };
    let bytes = match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(1 << shift).ok_or_else(error)?,
        Err(_) => {
            let fraction: f64 = number.parse().map_err(|_| error())?;
            (fraction * (1u64 << shift) as f64) as u64
        }
    };
    if bytes <= i64::MAX as u64 {
        Ok(bytes)
    } else {
        Err(error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_count_by_1024() {
        assert_eq!(parse_size("512"), Ok(512));
        assert_eq!(parse_size("10k"), Ok(10_240));
        assert_eq!(parse_size("1.5GiB"), Ok(1_610_612_736));
        assert_eq!(parse_size("64MB"), Ok(67_108_864));
        for bad in ["", "m", "-1", "1x", "1e3", "99999999999t", "1.2.3"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
