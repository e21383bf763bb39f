//! FROM: tables, joins, subqueries, functions, LATERAL; written rows laid over
//! tables.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::compute::{Leaves, call};
use super::{Fold, FoldKind, Relation, Renderer, Source, alias, quoted, stored_name, walk};
use crate::catalog::schema::Table;
use crate::error::{Error, Result};
use crate::plan::expression::Expression;
use crate::plan::query::{From, JoinKind, Query, RelationId};
use crate::types::Type;

/// Columns of `pyql_rows`; wider rows come through `pyql_rows_wide`.
pub(crate) const NARROW_COLUMNS: usize = 32;

/// PostgreSQL's own limit.
pub(crate) const WIDE_COLUMNS: usize = 1600;

/// Arguments that a function in FROM may take from the columns beside it.
pub(crate) const MAX_SOURCE_ARGUMENTS: usize = 32;

impl Renderer<'_> {
    pub(super) fn items(&mut self, items: &[From]) -> Result<String> {
        let mut beside = BTreeSet::new();
        let mut sql = String::new();
        for item in items {
            let first = sql.is_empty();
            sql.push_str(if first { " FROM " } else { ", " });
            let rendered = self.item(item, &mut beside)?;
            // SQLite's comma binds no looser than its joins.
            if !first && needs_left_side(item) {
                sql.push_str(&format!("({rendered})"));
            } else {
                sql.push_str(&rendered);
            }
        }
        Ok(sql)
    }

    /// `beside` collects the relations to its left, which LATERAL may name.
    fn item(&mut self, item: &From, beside: &mut BTreeSet<RelationId>) -> Result<String> {
        let rendered = match item {
            From::Table {
                relation, table, ..
            } => {
                let rows = self.table_rows(table)?;
                self.relations
                    .insert(*relation, Relation::Table(table.clone()));
                format!("{rows} AS {}", alias(*relation))
            }
            From::Common {
                relation, common, ..
            } => {
                self.relations.insert(*relation, Relation::Derived);
                format!("w{} AS {}", common.0, alias(*relation))
            }
            From::Subquery {
                relation,
                query,
                lateral,
                ..
            } => {
                let names = walk::named_relations(item);
                let rows = match *lateral && !names.is_disjoint(beside) {
                    true => self.lateral(query)?,
                    false => format!("({})", self.query(query)?),
                };
                self.relations.insert(*relation, Relation::Derived);
                format!("{rows} AS {}", alias(*relation))
            }
            From::Function {
                relation,
                call,
                more,
                ordinality,
                columns,
                ..
            } => {
                let packed = self.side_by_side.remove(relation);
                let in_list = packed.is_some();
                let calls = packed.unwrap_or_else(|| {
                    let all = std::iter::once(call).chain(more);
                    all.cloned().collect()
                });
                let rows = self.function_rows(calls, *ordinality, in_list, columns.len())?;
                self.relations.insert(*relation, Relation::Derived);
                format!("{rows} AS {}", alias(*relation))
            }
            From::Join {
                kind,
                left,
                right,
                on,
            } => self.join(*kind, left, right, on.as_ref(), beside)?,
        };
        walk::made_relations(item, beside);
        Ok(rendered)
    }

    fn join(
        &mut self,
        kind: JoinKind,
        left: &From,
        right: &From,
        on: Option<&Expression>,
        beside: &mut BTreeSet<RelationId>,
    ) -> Result<String> {
        let left = self.item(left, beside)?;
        let rendered = self.item(right, beside)?;
        let right = match right {
            From::Join { .. } => format!("({rendered})"),
            _ => rendered,
        };
        let word = match kind {
            // CROSS JOIN would fix SQLite's order of the loops.
            JoinKind::Cross | JoinKind::Inner => "JOIN",
            JoinKind::Left => "LEFT JOIN",
            JoinKind::Right => "RIGHT JOIN",
            JoinKind::Full => "FULL JOIN",
        };
        let on = match on {
            Some(on) => format!(" ON {}", self.expression(on)?),
            None if matches!(kind, JoinKind::Cross | JoinKind::Inner) => String::new(),
            None => " ON 1".to_owned(),
        };
        Ok(format!("{left} {word} {right}{on}"))
    }

    /// A stored table, or what is left of it with the transaction's rows.
    fn table_rows(&mut self, table: &Arc<Table>) -> Result<String> {
        let Some(truncated) = self.overlaid.get(&table.id).copied() else {
            return Ok(stored_name(table));
        };
        let names: Vec<String> = table.columns.iter().map(|c| quoted(&c.name)).collect();
        let key_places = table.key_positions();
        let number = self.source(Source::Overlay {
            table: table.id,
            types: table.columns.iter().map(|c| c.ty.clone()).collect(),
            key: key_places.clone(),
        });
        let rows = match names.len() {
            columns if columns <= NARROW_COLUMNS => format!("pyql_written({number})"),
            columns if columns <= WIDE_COLUMNS => format!("pyql_written_wide({number})"),
            _ => return Err(Error::unsupported("rows of so many columns")),
        };
        let renamed: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(place, name)| format!("c{place} AS {name}"))
            .collect();
        let written = format!("SELECT {} FROM {rows}", renamed.join(", "));
        if truncated {
            return Ok(format!("({written})"));
        }
        let keys: Vec<String> = key_places
            .into_iter()
            .map(|place| format!("o.{}", names[place]))
            .collect();
        let hidden = call("pyql_overlaid", number, &keys);
        let stored = stored_name(table);
        let names = names.join(", ");
        Ok(format!(
            "(SELECT {names} FROM {stored} AS o WHERE NOT {hidden} UNION ALL {written})"
        ))
    }

    pub(super) fn source(&mut self, source: Source) -> usize {
        self.out.sources.push(source);
        self.out.sources.len() - 1
    }

    fn function_rows(
        &mut self,
        mut calls: Vec<Expression>,
        ordinality: bool,
        packed: bool,
        columns: usize,
    ) -> Result<String> {
        let mut leaves = Leaves::default();
        for call in &mut calls {
            match walk::is_set_call(call) {
                true => self.children_over_leaves(call, &mut leaves)?,
                false => self.over_leaves(call, &mut leaves)?,
            }
        }
        let columns = columns.max(calls.len()) + usize::from(ordinality);
        let number = self.source(Source::Calls {
            calls,
            leaves: leaves.types,
            ordinality,
            packed,
        });
        rows_call(number, &leaves.sql, columns)
    }

    /// A subquery that names columns beside it: its rows are gathered into
    /// one array of records for each row of these.
    fn lateral(&mut self, query: &Query) -> Result<String> {
        let types: Vec<Type> = query.columns.iter().map(|c| c.ty.clone()).collect();
        let names: Vec<String> = (0..types.len().max(1)).map(|n| format!("c{n}")).collect();
        let inner = self.query(query)?;
        let fold = self.out.folds.len();
        self.out.folds.push(Fold {
            kind: FoldKind::Records,
            arguments: types.clone(),
            result: Type::Array(Box::new(Type::Record)),
            distinct: false,
            order: Vec::new(),
        });
        let gathered = call("pyql_fold", fold, &names[..types.len()]);
        let columns = types.len();
        let number = self.source(Source::Records(types));
        let array = format!("(SELECT {gathered} FROM ({inner}))");
        rows_call(number, &[array], columns)
    }
}

/// The table-valued call that yields a source's rows.
pub(super) fn rows_call(number: usize, arguments: &[String], columns: usize) -> Result<String> {
    if arguments.len() > MAX_SOURCE_ARGUMENTS {
        return Err(Error::unsupported(format_args!(
            "a function in FROM over more than {MAX_SOURCE_ARGUMENTS} columns"
        )));
    }
    let name = match columns {
        columns if columns <= NARROW_COLUMNS => "pyql_rows",
        columns if columns <= WIDE_COLUMNS => "pyql_rows_wide",
        _ => return Err(Error::unsupported("rows of so many columns")),
    };
    Ok(call(name, number, arguments))
}

/// A RIGHT or FULL join keeps unmatched rows of its right side only against
/// its own left side.
fn needs_left_side(item: &From) -> bool {
    match item {
        From::Join { kind, left, .. } => {
            matches!(kind, JoinKind::Right | JoinKind::Full) || needs_left_side(left)
        }
        _ => false,
    }
}
