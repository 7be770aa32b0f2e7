#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::numeric::Numeric;

fn binary(value: &Value, data_type: &DataType) -> Vec<u8> {
    let mut out = Vec::new();
    to_binary(value.as_ref(), data_type, &mut out);
    out
}

#[test]
fn bytes_of_the_wrong_length_are_refused() {
    for data_type in
        [DataType::Int4, DataType::Uuid, DataType::Timestamp, DataType::Numeric(None), DataType::Jsonb]
    {
        let error = from_binary(&data_type, &[7, 7, 7]).unwrap_err();
        assert_eq!(error.sqlstate(), "22P03", "{data_type}");
    }
}

#[test]
fn an_array_that_claims_more_than_it_has_is_refused() {
    let mut bytes = binary(&Value::Array(vec![Value::Int4(1)].into()), &DataType::Int4.array_of());
    bytes[12..16].copy_from_slice(&i32::MAX.to_be_bytes());
    assert_eq!(from_binary(&DataType::Int4.array_of(), &bytes).unwrap_err().sqlstate(), "22P03");
}

#[test]
fn what_is_not_kept_is_refused() {
    let odd_sign = [0, 0, 0, 0, 0x12, 0, 0, 0];
    assert_eq!(from_binary(&DataType::Numeric(None), &odd_sign).unwrap_err().sqlstate(), "22P03");
    let late = (i64::MAX - 1).to_be_bytes();
    assert_eq!(from_binary(&DataType::Timestamp, &late).unwrap_err().sqlstate(), "22008");
    assert_eq!(from_binary(&DataType::Text, b"a\xff").unwrap_err().sqlstate(), "22021");
}

proptest! {
    #[test]
    fn a_number_survives_its_binary_form(text in "-?[1-9][0-9]{0,50}(\\.[0-9]{1,50})?|NaN|-?Infinity|-?0\\.0{0,9}1") {
        let number = Value::Numeric(Numeric::parse(&text).unwrap());
        let back = from_binary(&DataType::Numeric(None), &binary(&number, &DataType::Numeric(None)));
        prop_assert_eq!(format!("{:?}", back.unwrap()), format!("{:?}", number));
    }

    #[test]
    fn reading_any_bytes_as_any_type_never_panics(
        bytes in proptest::collection::vec(any::<u8>(), 0..60),
        data_type in proptest::sample::select(DataType::SCALARS.to_vec()),
        array in any::<bool>(),
    ) {
        let data_type = if array { data_type.array_of() } else { data_type };
        let _ = from_binary(&data_type, &bytes);
    }

    #[test]
    fn reading_damaged_numbers_and_arrays_never_panics(
        head in proptest::array::uniform4(0u16..20), groups in proptest::collection::vec(0u16..10_000, 0..20),
        place in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes: Vec<u8> = head.iter().chain(&groups).flat_map(|part| part.to_be_bytes()).collect();
        bytes[..2].copy_from_slice(&(groups.len() as u16).to_be_bytes());
        bytes[4..6].copy_from_slice(&[0, 0]);
        let _ = from_binary(&DataType::Numeric(None), &bytes);
        let _ = from_binary(&DataType::Numeric(Some((20, 5))), &bytes);
        let array = Value::Array(vec![Value::Text("ab".into()), Value::Null].into());
        let mut bytes = binary(&array, &DataType::Text.array_of());
        let at = place.index(bytes.len());
        bytes[at] = byte;
        let _ = from_binary(&DataType::Text.array_of(), &bytes);
    }
}
