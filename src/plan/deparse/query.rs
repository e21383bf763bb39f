//! Queries as text.

use std::fmt::Write;

use super::{Deparser, Named, identifier};
use crate::catalog::schema::{Namespace, Table};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::query::{
    Body, Distinct, From, JoinKind, LockStrength, LockWait, OutputColumn, Query, RelationId,
    Select, SetOperator, SortBy, SortKey,
};
use crate::types::Value;

impl Deparser<'_> {
    pub(super) fn query(&mut self, query: &Query) {
        self.with(query);
        self.name_relations(&query.body);
        match &query.body {
            Body::Select(select) => self.select(select, &query.columns),
            Body::Values(rows) => {
                self.push("VALUES ");
                self.list(rows, |deparser, row| {
                    deparser.push("(");
                    deparser.expressions(row);
                    deparser.push(")");
                });
            }
            Body::SetOperation {
                operator,
                all,
                left,
                right,
            } => {
                self.operand(left);
                self.push(match operator {
                    SetOperator::Union => " UNION ",
                    SetOperator::Intersect => " INTERSECT ",
                    SetOperator::Except => " EXCEPT ",
                });
                if *all {
                    self.push("ALL ");
                }
                self.operand(right);
            }
        }
        self.tail(query);
    }

    fn operand(&mut self, query: &Query) {
        self.push("(");
        self.query(query);
        self.push(")");
    }

    fn with(&mut self, query: &Query) {
        if query.with.is_empty() {
            return;
        }
        let recursive = query.with.iter().any(|common| common.recursive);
        self.push(if recursive {
            "WITH RECURSIVE "
        } else {
            "WITH "
        });
        for (at, common) in query.with.iter().enumerate() {
            if at > 0 {
                self.push(", ");
            }
            let name = self.alias(&common.name);
            let columns = distinct_names(&common.query.columns);
            self.commons
                .insert(common.id, (name.clone(), columns.clone()));
            self.push(&identifier(&name));
            self.column_list(&columns);
            self.push(match common.materialized {
                None => " AS (",
                Some(true) => " AS MATERIALIZED (",
                Some(false) => " AS NOT MATERIALIZED (",
            });
            self.query(&common.query);
            self.push(")");
        }
        self.push(" ");
    }

    fn column_list(&mut self, columns: &[String]) {
        self.push("(");
        self.list(columns, |deparser, name| deparser.push(&identifier(name)));
        self.push(")");
    }

    /// An alias that no relation of the text has yet.
    fn alias(&mut self, wanted: &str) -> String {
        let mut alias = wanted.to_owned();
        let mut number = 0usize;
        while self.aliases.contains(&alias) {
            number += 1;
            alias = format!("{wanted}_{number}");
        }
        self.aliases.push(alias.clone());
        alias
    }

    /// Relations get their names before anything speaks of them.
    fn name_relations(&mut self, body: &Body) {
        if let Body::Select(select) = body {
            for from in &select.from {
                self.name_relation(from);
            }
        }
    }

    fn name_relation(&mut self, from: &From) {
        let (relation, alias, columns) = match from {
            From::Table {
                relation,
                table,
                alias,
            } => {
                let columns = table.columns.iter().map(|column| column.name.clone());
                (*relation, alias, columns.collect())
            }
            From::Common {
                relation,
                common,
                alias,
            } => {
                let columns = self.commons.get(common).map(|(_, columns)| columns.clone());
                (*relation, alias, columns.unwrap_or_default())
            }
            From::Subquery {
                relation,
                query,
                alias,
                ..
            } => (*relation, alias, distinct_names(&query.columns)),
            From::Function {
                relation,
                columns,
                alias,
                ..
            } => (*relation, alias, distinct_names(columns)),
            From::Join { left, right, .. } => {
                self.name_relation(left);
                self.name_relation(right);
                return;
            }
        };
        let alias = Some(self.alias(alias));
        self.relations.insert(relation, Named { alias, columns });
    }

    fn select(&mut self, select: &Select, columns: &[OutputColumn]) {
        self.push("SELECT");
        match &select.distinct {
            Distinct::No => {}
            Distinct::Rows => self.push(" DISTINCT"),
            Distinct::On(keys) => {
                self.push(" DISTINCT ON (");
                self.list(keys, Self::key);
                self.push(")");
            }
        }
        for (at, (target, column)) in select.projection.iter().zip(columns).enumerate() {
            self.push(if at > 0 { ", " } else { " " });
            self.expression(target);
            let shown = match &target.kind {
                ExpressionKind::Column { relation, column } => self.column_name(*relation, *column),
                _ => None,
            };
            if shown != Some(column.name.as_str()) {
                let _ = write!(self.out, " AS {}", identifier(&column.name));
            }
        }
        if !select.from.is_empty() {
            self.push(" FROM ");
            self.list(&select.from, Self::from);
        }
        if let Some(filter) = &select.filter {
            self.push(" WHERE ");
            self.expression(filter);
        }
        if !select.group_by.is_empty() {
            self.push(" GROUP BY ");
            self.list(&select.group_by, Self::key);
        }
        if let Some(having) = &select.having {
            self.push(" HAVING ");
            self.expression(having);
        }
    }

    fn column_name(&self, relation: RelationId, column: usize) -> Option<&str> {
        let named = self.relations.get(&relation)?;
        named.columns.get(column).map(String::as_str)
    }

    /// A group or sort key: a bare number would be taken for a place.
    fn key(&mut self, key: &Expression) {
        if let ExpressionKind::Constant(Value::Int(number)) = key.kind {
            let _ = write!(self.out, "'{number}'::{}", key.ty);
        } else {
            self.expression(key);
        }
    }

    /// One call, or several side by side.
    fn calls(&mut self, call: &Expression, more: &[Expression]) {
        if more.is_empty() {
            return self.expression(call);
        }
        self.push("ROWS FROM(");
        self.expression(call);
        for call in more {
            self.push(", ");
            self.expression(call);
        }
        self.push(")");
    }

    fn from(&mut self, from: &From) {
        match from {
            From::Table {
                relation, table, ..
            } => {
                let name = qualified(table);
                self.push(&name);
                self.shown_alias(*relation, &table.name);
            }
            From::Common {
                relation, common, ..
            } => {
                let name = self.commons.get(common).map(|(name, _)| name.clone());
                let name = name.unwrap_or_default();
                self.push(&identifier(&name));
                self.shown_alias(*relation, &name);
            }
            From::Subquery {
                relation,
                query,
                lateral,
                ..
            } => self.derived(*relation, query, *lateral),
            From::Function {
                relation,
                call,
                more,
                ordinality,
                lateral,
                ..
            } => {
                if *lateral {
                    self.push("LATERAL ");
                }
                self.calls(call, more);
                if *ordinality {
                    self.push(" WITH ORDINALITY");
                }
                self.derived_alias(*relation, true);
            }
            From::Join {
                kind,
                left,
                right,
                on,
            } => {
                self.push("(");
                self.from(left);
                self.push(match kind {
                    JoinKind::Cross => " CROSS JOIN ",
                    JoinKind::Inner => " JOIN ",
                    JoinKind::Left => " LEFT JOIN ",
                    JoinKind::Right => " RIGHT JOIN ",
                    JoinKind::Full => " FULL JOIN ",
                });
                self.from(right);
                if let Some(on) = on {
                    self.push(" ON ");
                    self.expression(on);
                }
                self.push(")");
            }
        }
    }

    fn derived(&mut self, relation: RelationId, query: &Query, lateral: bool) {
        if lateral {
            self.push("LATERAL ");
        }
        self.push("(");
        self.query(query);
        self.push(")");
        let same = matches!(query.body, Body::Select(_))
            && distinct_names(&query.columns)
                .iter()
                .zip(&query.columns)
                .all(|(name, column)| *name == column.name);
        self.derived_alias(relation, !same);
    }

    fn shown_alias(&mut self, relation: RelationId, name: &str) {
        let alias = self.relation_alias(relation);
        if alias != name {
            let _ = write!(self.out, " AS {}", identifier(&alias));
        }
    }

    fn derived_alias(&mut self, relation: RelationId, columns: bool) {
        let alias = self.relation_alias(relation);
        let _ = write!(self.out, " AS {}", identifier(&alias));
        if columns {
            let named = self.relations.get(&relation);
            let columns = named.map(|named| named.columns.clone()).unwrap_or_default();
            self.column_list(&columns);
        }
    }

    fn relation_alias(&self, relation: RelationId) -> String {
        let named = self.relations.get(&relation);
        named
            .and_then(|named| named.alias.clone())
            .unwrap_or_default()
    }

    fn tail(&mut self, query: &Query) {
        if !query.order_by.is_empty() {
            self.push(" ORDER BY ");
            self.list(&query.order_by, Self::sort_key);
        }
        if let Some(limit) = &query.limit {
            self.push(" LIMIT ");
            self.expression(limit);
        }
        if let Some(offset) = &query.offset {
            self.push(" OFFSET ");
            self.expression(offset);
        }
        for lock in &query.locks {
            self.push(match lock.strength {
                LockStrength::Update => " FOR UPDATE",
                LockStrength::NoKeyUpdate => " FOR NO KEY UPDATE",
                LockStrength::Share => " FOR SHARE",
                LockStrength::KeyShare => " FOR KEY SHARE",
            });
            if !lock.relations.is_empty() {
                self.push(" OF ");
                self.list(&lock.relations, |deparser, relation| {
                    let alias = deparser.relation_alias(*relation);
                    deparser.push(&identifier(&alias));
                });
            }
            self.push(match lock.wait {
                LockWait::Wait => "",
                LockWait::NoWait => " NOWAIT",
                LockWait::SkipLocked => " SKIP LOCKED",
            });
        }
    }

    fn sort_key(&mut self, key: &SortKey) {
        match &key.by {
            SortBy::Column(at) => {
                let _ = write!(self.out, "{}", at + 1);
            }
            SortBy::Expression(by) => self.key(by),
        }
        self.direction(key.descending, key.nulls_first);
    }
}

fn qualified(table: &Table) -> String {
    let name = identifier(&table.name);
    match table.namespace {
        Namespace::Public => name,
        Namespace::PgCatalog => format!("pg_catalog.{name}"),
        Namespace::InformationSchema => format!("information_schema.{name}"),
        Namespace::Pyql => format!("pyql.{name}"),
    }
}

/// Names of columns, made different from each other.
fn distinct_names(columns: &[OutputColumn]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(columns.len());
    for column in columns {
        let mut name = column.name.clone();
        let mut number = 0usize;
        while names.contains(&name) {
            number += 1;
            name = format!("{}_{number}", column.name);
        }
        names.push(name);
    }
    names
}
