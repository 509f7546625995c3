//! Values of a planned unit as StartTransientUnit takes them.

use zbus::zvariant::Value;

use crate::plan::unit::{BusValue, Unit};

/// `a(sv)` of a unit.
pub(super) fn of(unit: &Unit) -> Vec<(&'static str, Value<'static>)> {
    unit.bus_properties()
        .into_iter()
        .map(|(key, value)| (key, variant(value)))
        .collect()
}

/// `a(sv)` of single properties.
pub(super) fn values(
    properties: &[(&'static str, BusValue)],
) -> Vec<(&'static str, Value<'static>)> {
    let all = properties.iter().cloned();
    all.map(|(key, value)| (key, variant(value))).collect()
}

fn variant(value: BusValue) -> Value<'static> {
    match value {
        BusValue::Str(text) => Value::from(text),
        BusValue::Bool(on) => Value::from(on),
        BusValue::U64(number) => Value::from(number),
        BusValue::I32(number) => Value::from(number),
        BusValue::Strings(texts) => Value::from(texts),
        BusValue::ByteArrays(arrays) => Value::from(arrays),
        BusValue::Bytes(bytes) => Value::from(bytes),
        BusValue::Devices(devices) => Value::from(devices),
        BusValue::Statuses(codes, signals) => Value::from((codes, signals)),
        BusValue::Exec(words, ignored) => {
            let program = words.first().cloned().unwrap_or_default();
            Value::from(vec![(program, words, ignored)])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_the_type_that_systemd_wants() {
        let signature = |value| variant(value).value_signature().to_string();
        let text = || vec!["/bin/a".to_owned(), "b".to_owned()];
        assert_eq!(signature(BusValue::Str(String::new())), "s");
        assert_eq!(signature(BusValue::Bool(true)), "b");
        assert_eq!(signature(BusValue::U64(1)), "t");
        assert_eq!(signature(BusValue::I32(-1)), "i");
        assert_eq!(signature(BusValue::Strings(text())), "as");
        assert_eq!(signature(BusValue::ByteArrays(vec![vec![1]])), "aay");
        assert_eq!(signature(BusValue::Bytes(vec![1])), "ay");
        let device = ("/dev/sda".to_owned(), 1);
        assert_eq!(signature(BusValue::Devices(vec![device])), "a(st)");
        let statuses = BusValue::Statuses(vec![1], vec![]);
        assert_eq!(signature(statuses), "(aiai)");
        assert_eq!(signature(BusValue::Exec(text(), true)), "a(sasb)");
    }
}
