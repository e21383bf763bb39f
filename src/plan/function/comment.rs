//! What COMMENT ON said: obj_description and its kin.

use super::arguments::{int, text};
use super::definition::{Definition, scalar};
use super::{Call, names};
use crate::catalog::schema::{Commented, Namespace};
use crate::error::Result;
use crate::types::Value;
use crate::types::id::{ColumnId, ObjectId, TableId};

pub(super) const TABLES: &[&[Definition]] = &[&[
    scalar("obj_description", "oid -> text", |call, a| {
        const CATALOGS: [&str; 3] = ["pg_class", "pg_constraint", "pg_namespace"];
        let mut found = CATALOGS
            .iter()
            .map(|catalog| described(call, &a[0], catalog));
        let found = found.find(|found| !matches!(found, Ok(Value::Null)));
        found.unwrap_or(Ok(Value::Null))
    })
    .stable(),
    scalar("obj_description", "oid name -> text", |call, a| {
        described(call, &a[0], text(&a[1])?)
    })
    .stable(),
    scalar(
        "shobj_description",
        "oid name -> text",
        |call, a| match &**text(&a[1])? {
            "pg_database" if int(&a[0])? == i64::from(call.context.database_oid) => {
                Ok(comment(call, Commented::Database))
            }
            _ => Ok(Value::Null),
        },
    )
    .stable(),
    scalar("col_description", "oid int4 -> text", |call, a| {
        let (table, column) = (u32::try_from(int(&a[0])?), u16::try_from(int(&a[1])?));
        Ok(match (table, column) {
            (Ok(table), Ok(column)) => {
                comment(call, Commented::Column(TableId(table), ColumnId(column)))
            }
            _ => Value::Null,
        })
    })
    .stable(),
]];

fn comment(call: &Call<'_>, on: Commented) -> Value {
    let found = call.context.schema.comments.get(&on);
    found.map_or(Value::Null, |text| Value::text(text.as_str()))
}

fn described(call: &Call<'_>, oid: &Value, catalog: &str) -> Result<Value> {
    let Ok(oid) = u32::try_from(int(oid)?) else {
        return Ok(Value::Null);
    };
    Ok(match catalog {
        "pg_class" => comment(call, Commented::Relation(ObjectId(oid))),
        "pg_constraint" => comment(call, Commented::Constraint(ObjectId(oid))),
        "pg_namespace" if oid == names::namespace_oid(Namespace::Public) => {
            match comment(call, Commented::Schema) {
                Value::Null => Value::text(names::PUBLIC_COMMENT),
                said => said,
            }
        }
        _ => Value::Null,
    })
}
