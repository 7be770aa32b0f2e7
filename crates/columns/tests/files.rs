//! Rows of every type go into files and come back; crashes leave no holes.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use lightning::{Database, Keyspace, KeyspaceOptions, Options};
use luma_catalog::{Column, Columnar, Table};
use luma_columns::{ColumnStore, FileView, GroupRead, Predicate, RowAddress, Sink, Wanted, file_key};
use luma_model::{CellReader, DataType, TextContext, Value, ValueRef, parse_text};
use luma_vfs::{RealDisk, SimDisk, Vfs};

struct World {
    engine: Database,
    manifest: Keyspace,
    store: Arc<ColumnStore>,
}

impl World {
    fn open(vfs: Arc<dyn Vfs>, path: &Path) -> Self {
        let engine = Database::open_with_vfs(vfs, path, Options::default()).unwrap();
        let manifest = engine
            .keyspace("r7")
            .unwrap_or_else(|| engine.create_keyspace("r7", KeyspaceOptions::default()).unwrap());
        let store = Arc::new(ColumnStore::open(&engine, &[(7, manifest.clone())], 4 << 20).unwrap());
        Self { engine, manifest, store }
    }

    fn commit(&self, sink: Sink) {
        let mut transaction = self.engine.begin(lightning::TransactionOptions::default());
        for file in sink.finish().unwrap() {
            transaction.put(&self.manifest, &file_key(file.entry.number), &file.entry.encode()).unwrap();
            file.place.keep();
        }
        transaction.commit().unwrap();
    }

    fn views(&self) -> Vec<FileView> {
        self.store.files(7, &self.manifest, &self.engine.snapshot()).unwrap()
    }
}

fn table(types: &[DataType]) -> Table {
    let columns = types.iter().enumerate();
    let columns =
        columns.map(|(at, data_type)| Column::new(at as u16 + 1, format!("c{at}"), data_type.clone()));
    Table::new(1, 1, "t", 6, columns.collect())
}

fn columnar(partition_by: &[u16], sort_by: &[u16]) -> Columnar {
    Columnar { files: 7, partition_by: partition_by.to_vec(), sort_by: sort_by.to_vec() }
}

/// The rows of a file and their places: the same whether they are unpacked for this reader, for others too, or were before.
fn read(view: &FileView, table: &Table) -> Vec<(i64, Vec<Value>)> {
    let rows = read_once(view, table, false);
    for _ in 0..2 {
        // As text, since NaN is not equal to itself.
        assert!(format!("{:?}", read_once(view, table, true)) == format!("{rows:?}"));
    }
    rows
}

fn read_once(view: &FileView, table: &Table, again: bool) -> Vec<(i64, Vec<Value>)> {
    let columns: Vec<Wanted> = table
        .live_columns()
        .map(|column| Wanted {
            number: column.number,
            data_type: column.data_type.clone(),
            missing: Value::Int4(42),
        })
        .collect();
    let mut rows = Vec::new();
    for group in 0..view.groups().unwrap() {
        let read = GroupRead {
            view,
            group,
            columns: &columns,
            row_numbers: true,
            batch_rows: 100,
            predicates: Vec::new(),
            again,
        };
        let mut batches = read.open().unwrap();
        while let Some((arrays, count)) = batches.next_columns().unwrap() {
            let numbers = arrays.last().unwrap().as_primitive::<Int64Type>().clone();
            let readers: Vec<CellReader> = arrays
                .iter()
                .zip(table.live_columns())
                .map(|(array, column)| CellReader::new(array.as_ref(), &column.data_type).unwrap())
                .collect();
            for row in 0..count {
                let values = readers.iter().map(|reader| reader.get(row).unwrap().to_owned()).collect();
                rows.push((numbers.value(row), values));
            }
            assert_eq!(numbers.null_count(), 0);
        }
    }
    rows
}

#[test]
fn every_type_comes_back_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::open(Arc::new(RealDisk), directory.path());
    let samples = [
        (DataType::Bool, "t"),
        (DataType::Int2, "-7"),
        (DataType::Int4, "70000"),
        (DataType::Int8, "9223372036854775807"),
        (DataType::Float4, "1.5"),
        (DataType::Float8, "NaN"),
        (DataType::Numeric(None), "12345678901234567890.1230"),
        (DataType::Numeric(Some((15, 2))), "-99.50"),
        (DataType::Numeric(Some((38, 10))), "1234567890123456789012345678.0000000001"),
        (DataType::Text, "größe"),
        (DataType::Varchar(Some(3)), "abc"),
        (DataType::Char(5), "ab   "),
        (DataType::Bytea, "\\x00ff"),
        (DataType::Date, "2026-11-22"),
        (DataType::Time, "13:14:15.678901"),
        (DataType::Timestamp, "infinity"),
        (DataType::TimestampTz, "1969-12-31 23:59:59.999999+00"),
        (DataType::Interval, "-3 mons 2 days 04:05:06.789"),
        (DataType::Uuid, "123e4567-e89b-12d3-a456-426614174000"),
        (DataType::Jsonb, "{\"a\": [1, null]}"),
        (DataType::Oid, "4294967295"),
        (DataType::Int4.array_of(), "{1,NULL,3}"),
        (DataType::Text.array_of(), "{}"),
    ];
    let types: Vec<DataType> = samples.iter().map(|(data_type, _)| data_type.clone()).collect();
    let table = table(&types);
    let context = TextContext::default();
    let row: Vec<Value> =
        samples.iter().map(|(data_type, text)| parse_text(data_type, text, &context).unwrap()).collect();
    let nulls = vec![Value::Null; row.len()];
    let mut sink = Sink::new(Arc::clone(&world.store), &table, &columnar(&[], &[]), 0);
    for values in [&row, &nulls, &row] {
        let values: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
        sink.push_row(&values).unwrap();
    }
    world.commit(sink);
    let views = world.views();
    views[0].verify().unwrap();
    // NaN is no equal of itself, so rows are compared as they are shown.
    let shown = |rows: &[(i64, Vec<Value>)]| format!("{rows:?}");
    assert_eq!(shown(&read(&views[0], &table)), shown(&[(0, row.clone()), (1, nulls), (2, row)]));
}

#[test]
fn deleted_rows_are_left_out_and_columns_that_came_later_have_their_value() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::open(Arc::new(RealDisk), directory.path());
    let old = table(&[DataType::Int8]);
    let mut sink = Sink::new(Arc::clone(&world.store), &old, &columnar(&[], &[]), 0);
    let rows = 300_000i64;
    for number in 0..rows {
        sink.push_row(&[ValueRef::Int8(number)]).unwrap();
    }
    world.commit(sink);
    let file = world.views()[0].entry().number;
    let mut transaction = world.engine.begin(lightning::TransactionOptions::default());
    let gone = |number: i64| number % 1000 == 7 || (140_000..150_000).contains(&number);
    for number in (0..rows).filter(|number| gone(*number)) {
        let address = RowAddress { file, row: number as u32 };
        transaction.put(&world.manifest, &address.key(), b"").unwrap();
    }
    transaction.commit().unwrap();
    let views = world.views();
    assert!(views[0].groups().unwrap() > 1, "more than one row group");
    let mut now = table(&[DataType::Int8, DataType::Int4]);
    now.columns[0].name = "renamed".into();
    let expected: Vec<(i64, Vec<Value>)> = (0..rows)
        .filter(|number| !gone(*number))
        .map(|number| (number, vec![Value::Int8(number), Value::Int4(42)]))
        .collect();
    let found = read(&views[0], &now);
    assert_eq!(found.len() as u64, views[0].live_rows());
    assert!(found == expected);
}

#[test]
fn each_predicate_sees_what_those_before_let_through() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::open(Arc::new(RealDisk), directory.path());
    let table = table(&[DataType::Int8, DataType::Text, DataType::Numeric(Some((15, 2)))]);
    let mut sink = Sink::new(Arc::clone(&world.store), &table, &columnar(&[], &[]), 0);
    let rows = 200_000i64;
    for number in 0..rows {
        let text = format!("text {}", number % 1000);
        let price = luma_model::Numeric::parse(&format!("{}.25", number % 977)).unwrap();
        let text = if number % 13 == 0 { ValueRef::Null } else { ValueRef::Text(&text) };
        sink.push_row(&[ValueRef::Int8(number), text, ValueRef::Numeric(price.as_ref())]).unwrap();
    }
    world.commit(sink);
    let file = world.views()[0].entry().number;
    let mut transaction = world.engine.begin(lightning::TransactionOptions::default());
    for number in (0..rows).filter(|number| number % 11 == 3) {
        let address = RowAddress { file, row: number as u32 };
        transaction.put(&world.manifest, &address.key(), b"").unwrap();
    }
    transaction.commit().unwrap();
    let wanted = |number: u16, data_type: DataType| Wanted { number, data_type, missing: Value::Null };
    let view = &world.views()[0];
    // Dense, sparse, and in one place only.
    let conditions: [fn(i64) -> bool; 3] =
        [|n| n % 3 != 0, |n| n % 5000 == 1, |n| (70_000..70_010).contains(&n)];
    for condition in conditions {
        let expected: Vec<i64> = (0..rows).filter(|n| n % 11 != 3 && condition(*n) && n % 13 != 0).collect();
        for again in [false, true, true] {
            let mut found: Vec<i64> = Vec::new();
            for group in 0..view.groups().unwrap() {
                let first = Predicate {
                    columns: vec![wanted(1, DataType::Int8)],
                    evaluate: Box::new(move |columns, rows| {
                        let numbers = columns[0].as_primitive::<Int64Type>();
                        assert_eq!(numbers.len(), rows);
                        Ok(numbers.values().iter().map(|number| Some(condition(*number))).collect())
                    }),
                };
                let second = Predicate {
                    columns: vec![wanted(2, DataType::Text), wanted(1, DataType::Int8)],
                    evaluate: Box::new(move |columns, _| {
                        let numbers = columns[1].as_primitive::<Int64Type>();
                        assert!(numbers.values().iter().all(|number| condition(*number)));
                        Ok(arrow::compute::is_not_null(&columns[0]).unwrap())
                    }),
                };
                let columns = [wanted(3, DataType::Numeric(Some((15, 2)))), wanted(1, DataType::Int8)];
                let read = GroupRead {
                    view,
                    group,
                    columns: &columns,
                    row_numbers: true,
                    batch_rows: 8192,
                    predicates: vec![first, second],
                    again,
                };
                let mut batches = read.open().unwrap();
                while let Some((arrays, count)) = batches.next_columns().unwrap() {
                    assert!(count > 0 && arrays.iter().all(|array| array.len() == count));
                    let reader = CellReader::new(arrays[0].as_ref(), &columns[0].data_type).unwrap();
                    let numbers = arrays[1].as_primitive::<Int64Type>();
                    assert_eq!(numbers.values(), arrays[2].as_primitive::<Int64Type>().values());
                    for row in 0..count {
                        let price =
                            luma_model::Numeric::parse(&format!("{}.25", numbers.value(row) % 977)).unwrap();
                        assert_eq!(reader.get(row).unwrap().to_owned(), Value::Numeric(price));
                    }
                    found.extend(numbers.values());
                }
            }
            assert_eq!(found, expected);
        }
    }
    assert!(world.store.cached_bytes() > 0);
    let files = world.views().into_iter().map(|view| view.file).collect();
    world.store.give_up(files);
    assert_eq!(world.store.cached_bytes(), 0, "a file that is gone leaves nothing");
}

#[test]
fn files_are_cut_by_partition_and_sorted_within() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::open(Arc::new(RealDisk), directory.path());
    let table = table(&[DataType::Int4, DataType::Text]);
    let mut sink = Sink::new(Arc::clone(&world.store), &table, &columnar(&[1], &[2]), 0);
    for number in 0..1000 {
        let part = if number % 7 == 0 { ValueRef::Null } else { ValueRef::Int4(number % 3) };
        let text = format!("{:04}", (number * 7919) % 1000);
        sink.push_row(&[part, ValueRef::Text(&text)]).unwrap();
    }
    world.commit(sink);
    let views = world.views();
    assert_eq!(views.len(), 4, "three numbers and NULL");
    let mut count = 0;
    for view in &views {
        let rows = read(view, &table);
        count += rows.len();
        assert!(rows.iter().all(|(_, row)| row[0] == rows[0].1[0]));
        assert!(rows.is_sorted_by_key(|(_, row)| format!("{:?}", row[1])));
    }
    assert_eq!(count, 1000);
}

/// Whatever a crash leaves: files that were committed are whole, and nothing else is there.
#[test]
fn crashes_leave_no_holes_and_orphans_go() {
    let table = table(&[DataType::Int8]);
    for seed in 0..40 {
        let disk = SimDisk::new();
        let world = World::open(Arc::new(disk.clone()), Path::new("/db"));
        let mut acknowledged = 0;
        for batch in 0..3 {
            let mut sink = Sink::new(Arc::clone(&world.store), &table, &columnar(&[], &[]), 0);
            for number in 0..1000 {
                sink.push_row(&[ValueRef::Int8(batch * 1000 + number)]).unwrap();
            }
            if batch == 2 && seed % 2 == 0 {
                // Written and never committed.
                for file in sink.finish().unwrap() {
                    file.place.keep();
                }
                break;
            }
            world.commit(sink);
            acknowledged += 1000;
        }
        let after = World::open(Arc::new(disk.crash_image(seed)), Path::new("/db"));
        let views = after.views();
        let rows: usize = views.iter().map(|view| read(view, &table).len()).sum();
        assert!(rows >= acknowledged, "{rows} rows of {acknowledged}");
        let names = after.engine.vfs().read_dir(Path::new("/db/columns")).unwrap();
        assert_eq!(names.len(), views.len(), "orphans are gone");
    }
}

#[test]
fn files_stay_until_the_last_that_may_need_them_has_gone() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::open(Arc::new(RealDisk), directory.path());
    let table = table(&[DataType::Int8]);
    let fill = || {
        let mut sink = Sink::new(Arc::clone(&world.store), &table, &columnar(&[], &[]), 0);
        sink.push_row(&[ValueRef::Int8(1)]).unwrap();
        world.commit(sink);
    };
    fill();
    let old = world.store.pin();
    let views = world.views();
    let path = views[0].path().to_owned();
    let number = views[0].entry().number;
    let mut transaction = world.engine.begin(lightning::TransactionOptions::default());
    transaction.delete(&world.manifest, &file_key(number)).unwrap();
    transaction.commit().unwrap();
    let newer = world.store.pin();
    world.store.give_up(views.into_iter().map(|view| view.file).collect());
    let newest = world.store.pin();
    assert!(path.exists());
    drop(newest);
    drop(newer);
    assert!(path.exists(), "an older transaction may still read it");
    drop(old);
    assert!(!path.exists());
}
