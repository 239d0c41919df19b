//! Amounts as Kubernetes writes them: `500m`, `1Gi`.

const DECIMAL: [(&str, i32); 10] =
    [("E", 18), ("P", 15), ("T", 12), ("G", 9), ("M", 6), ("k", 3), ("", 0), ("m", -3), ("u", -6), ("n", -9)];
const BINARY: [(&str, u32); 6] = [("Ei", 60), ("Pi", 50), ("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
/// The smallest amount is a billionth.
const NANO: i128 = 1_000_000_000;

/// The canonical form of an amount: no fraction, the largest unit that leaves none. None where it is no amount; what
/// has an exponent, or too many digits, stays as it is.
pub(super) fn canonical(text: &str) -> Option<String> {
    let (negative, number) = match text.strip_prefix('-') {
        Some(number) => (true, number),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = number.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(number.len());
    let (digits, unit) = number.split_at(end);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let decimal = DECIMAL.iter().find(|(name, _)| *name == unit).map(|(_, power)| *power);
    let binary = BINARY.iter().find(|(name, _)| *name == unit).map(|(_, bits)| *bits);
    let exponent = unit.strip_prefix(['e', 'E']).is_some_and(|power| power.parse::<i32>().is_ok());
    if exponent && decimal.is_none() {
        return Some(text.to_owned());
    }
    let nanos = match (decimal, binary) {
        (Some(power), _) => scaled(whole, fraction, power),
        (None, Some(bits)) => scaled(whole, fraction, 0).and_then(|nanos| nanos.checked_mul(1 << bits)),
        (None, None) => return None,
    };
    let Some(nanos) = nanos else { return Some(text.to_owned()) };
    let sign = if negative && nanos != 0 { "-" } else { "" };
    Some(format!("{sign}{}", written(nanos, binary.is_some())))
}

/// A decimal number times a power of ten in billionths, what is smaller rounded up.
fn scaled(whole: &str, fraction: &str, power: i32) -> Option<i128> {
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let mantissa: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let shift = power + 9 - i32::try_from(fraction.len()).ok()?;
    let ten = 10_i128.checked_pow(shift.unsigned_abs())?;
    if shift >= 0 { mantissa.checked_mul(ten) } else { Some((mantissa + ten - 1) / ten) }
}

fn written(nanos: i128, binary: bool) -> String {
    let units = nanos / NANO;
    if binary && nanos % NANO == 0 && units >= 1024 {
        for (name, bits) in BINARY {
            if units % (1 << bits) == 0 {
                return format!("{}{name}", units >> bits);
            }
        }
        return units.to_string();
    }
    if nanos == 0 {
        return "0".to_owned();
    }
    for (name, power) in DECIMAL {
        let unit = 10_i128.pow((power + 9).unsigned_abs());
        if nanos % unit == 0 {
            return format!("{}{name}", nanos / unit);
        }
    }
    nanos.to_string() + "n"
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn amounts_are_written_without_fractions() {
        for (text, wanted) in [
            ("0.5", "500m"),
            ("1024Mi", "1Gi"),
            ("2000m", "2"),
            ("1.5Gi", "1536Mi"),
            ("1000", "1k"),
            ("100Ki", "100Ki"),
            ("512", "512"),
            ("0", "0"),
            ("-1.5", "-1500m"),
            ("0.1n", "1n"),
            ("1e3", "1e3"),
            ("12E", "12E"),
            ("1025Ki", "1025Ki"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(wanted), "{text}");
        }
        for wrong in ["", "lots", "1.2.3", "1 Gi", ".", "1kk"] {
            assert_eq!(canonical(wrong), None, "{wrong}");
        }
    }
}
