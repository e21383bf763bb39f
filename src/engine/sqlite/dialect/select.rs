//! Queries: SELECT, VALUES, WITH, ORDER BY, LIMIT.

use super::expression::UNPADDED;
use super::{Relation, Renderer, walk};
use crate::engine::sqlite::values::collation;
use crate::error::{Error, Result};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::query::{
    Body, CommonTable, Distinct, From, JoinKind, Query, Select, SetOperator, SortBy, SortKey,
};
use crate::types::{Type, Value};

impl Renderer<'_> {
    /// A whole query, usable as a statement or within parentheses.
    pub(super) fn query(&mut self, query: &Query) -> Result<String> {
        let with = self.with(&query.with)?;
        let body = match &query.body {
            Body::Select(select) => match &select.distinct {
                Distinct::On(keys) => self.distinct_on(query, select, keys)?,
                Distinct::Rows => self.ordered_select(query, select, true)?,
                Distinct::No => self.ordered_select(query, select, false)?,
            },
            Body::Values(rows) => {
                let values = self.values(rows, false)?;
                values + &self.order_by(&query.order_by, query, None)?
            }
            Body::SetOperation { .. } => self.set_query(query)?,
        };
        let limit = self.limit(query)?;
        Ok(format!("{with}{body}{limit}"))
    }

    fn with(&mut self, tables: &[CommonTable]) -> Result<String> {
        let mut sql = String::new();
        for common in tables {
            sql.push_str(match (sql.is_empty(), tables.iter().any(|t| t.recursive)) {
                (true, true) => "WITH RECURSIVE ",
                (true, false) => "WITH ",
                (false, _) => ", ",
            });
            let materialized = match common.materialized {
                Some(true) => "MATERIALIZED ",
                Some(false) => "NOT MATERIALIZED ",
                None => "",
            };
            let columns: Vec<String> = (0..common.query.columns.len().max(1))
                .map(|place| format!("c{place}"))
                .collect();
            let query = match common.recursive && walk::names_common(&common.query, common.id) {
                true => self.recursive(common)?,
                false => self.query(&common.query)?,
            };
            let id = common.id.0;
            let columns = columns.join(", ");
            sql.push_str(&format!("w{id}({columns}) AS {materialized}({query})"));
        }
        if !sql.is_empty() {
            sql.push(' ');
        }
        Ok(sql)
    }

    /// SQLite wants the two halves of a recursive table side by side.
    fn recursive(&mut self, common: &CommonTable) -> Result<String> {
        let query = &common.query;
        let bare = query.with.is_empty() && query.limit.is_none() && query.order_by.is_empty();
        match &query.body {
            Body::SetOperation {
                operator: SetOperator::Union,
                all,
                left,
                right,
            } if bare && !walk::names_common(left, common.id) && is_bare_select(right) => {
                let word = if *all { "UNION ALL" } else { "UNION" };
                let left = self.arm(left)?;
                Ok(format!("{left} {word} {}", self.arm(right)?))
            }
            _ => Err(Error::unsupported("a recursive query of this form")),
        }
    }

    fn ordered_select(&mut self, query: &Query, select: &Select, distinct: bool) -> Result<String> {
        let core = self.select(query, select, distinct, distinct)?;
        Ok(core + &self.order_by(&query.order_by, query, Some(select))?)
    }

    /// SELECT to HAVING. `collated` writes the columns' orders out, for those
    /// who compare whole rows.
    pub(super) fn select(
        &mut self,
        query: &Query,
        select: &Select,
        distinct: bool,
        collated: bool,
    ) -> Result<String> {
        let select = &*self.without_set_calls(select)?;
        let (from, filter) = self.source_rows(select)?;
        let mut columns = Vec::new();
        for (place, column) in select
            .projection
            .iter()
            .take(query.columns.len())
            .enumerate()
        {
            let mut sql = match collated {
                true => self.collated(column)?,
                false => self.expression(column)?,
            };
            if place == 0 && is_unseen_total(select) {
                sql = format!("CASE WHEN count(*) >= 0 THEN {sql} END");
            }
            columns.push(format!("{sql} AS c{place}"));
        }
        if columns.is_empty() {
            columns.push("NULL AS c0".to_owned());
        }
        let groups = self.groups(select)?;
        let distinct = if distinct { "DISTINCT " } else { "" };
        let columns = columns.join(", ");
        Ok(format!("SELECT {distinct}{columns}{from}{filter}{groups}"))
    }

    pub(super) fn source_rows(&mut self, select: &Select) -> Result<(String, String)> {
        let from = self.items(&select.from)?;
        let filter = match &select.filter {
            Some(filter) => format!(" WHERE {}", self.expression(filter)?),
            None => String::new(),
        };
        Ok((from, filter))
    }

    /// GROUP BY and HAVING.
    pub(super) fn groups(&mut self, select: &Select) -> Result<String> {
        let mut sql = String::new();
        let mut keys = Vec::new();
        for key in &select.group_by {
            // A bare number would be a column's place.
            if !walk::is_fixed(key) {
                let sql = self.collated(key)?;
                keys.push(unfolded(sql, key));
            }
        }
        if !select.group_by.is_empty() {
            if keys.is_empty() {
                keys.push("(SELECT 1)".to_owned());
            }
            sql = format!(" GROUP BY {}", keys.join(", "));
        }
        if let Some(having) = &select.having {
            sql.push_str(&format!(" HAVING {}", self.expression(having)?));
        }
        Ok(sql)
    }

    /// DISTINCT ON: the first row of each group by ORDER BY.
    fn distinct_on(
        &mut self,
        query: &Query,
        select: &Select,
        keys: &[Expression],
    ) -> Result<String> {
        let (from, filter) = self.source_rows(select)?;
        let mut columns = Vec::new();
        for (place, column) in select.projection.iter().enumerate() {
            columns.push(format!("{} AS c{place}", self.expression(column)?));
        }
        let mut partition = Vec::new();
        for key in keys.iter().filter(|key| !walk::is_fixed(key)) {
            partition.push(self.collated(key)?);
        }
        let (mut inner, mut outer) = (Vec::new(), Vec::new());
        for (place, key) in query.order_by.iter().enumerate() {
            let expression = sort_expression(key, Some(select))?;
            let direction = direction(key.descending, key.nulls_first);
            inner.push(self.collated(expression)? + direction);
            columns.push(format!("{} AS s{place}", self.expression(expression)?));
            outer.push(with_collation(format!("s{place}"), &expression.ty) + direction);
        }
        let mut window = String::new();
        if !partition.is_empty() {
            window = format!("PARTITION BY {}", partition.join(", "));
        }
        if !inner.is_empty() {
            window = format!("{window} ORDER BY {}", inner.join(", "));
        }
        let groups = self.groups(select)?;
        let shown: Vec<String> = (0..query.columns.len()).map(|n| format!("c{n}")).collect();
        let (shown, columns) = (shown.join(", "), columns.join(", "));
        let mut sql = format!(
            "SELECT {shown} FROM (SELECT {columns}, row_number() OVER ({window}) AS n\
             {from}{filter}{groups}) WHERE n = 1"
        );
        if !outer.is_empty() {
            sql.push_str(&format!(" ORDER BY {}", outer.join(", ")));
        }
        Ok(sql)
    }

    /// Rows of expressions, with columns named as everywhere.
    pub(super) fn values(&mut self, rows: &[Vec<Expression>], collated: bool) -> Result<String> {
        let mut lines = Vec::new();
        for row in rows {
            lines.push(format!("({})", self.list(row)?));
        }
        let first = rows.first().map(Vec::as_slice).unwrap_or_default();
        let columns: Vec<String> = first
            .iter()
            .enumerate()
            .map(|(place, cell)| {
                let name = format!("column{}", place + 1);
                let sql = match collated {
                    true => with_collation(name, &cell.ty),
                    false => name,
                };
                format!("{sql} AS c{place}")
            })
            .collect();
        let (columns, lines) = (columns.join(", "), lines.join(", "));
        Ok(format!("SELECT {columns} FROM (VALUES {lines})"))
    }

    /// ORDER BY, with places for the query's own columns.
    pub(super) fn order_by(
        &mut self,
        keys: &[SortKey],
        query: &Query,
        select: Option<&Select>,
    ) -> Result<String> {
        let mut items = Vec::new();
        for key in keys {
            match &key.by {
                SortBy::Column(place) if *place < query.columns.len() => {
                    let own = select.and_then(|select| select.projection.get(*place));
                    let ty = &query.columns[*place].ty;
                    let item = with_collation((place + 1).to_string(), ty);
                    items.push(item + self.nulls(key, own, select));
                }
                _ => {
                    let expression = sort_expression(key, select)?;
                    if !walk::is_fixed(expression) {
                        let nulls = self.nulls(key, Some(expression), select);
                        let sql = self.collated(expression)?;
                        items.push(unfolded(sql, expression) + nulls);
                    }
                }
            }
        }
        Ok(match items.is_empty() {
            true => String::new(),
            false => format!(" ORDER BY {}", items.join(", ")),
        })
    }

    /// Direction and place of nulls; the latter left out for a column that
    /// has none, so that an index can give the order.
    fn nulls(
        &self,
        key: &SortKey,
        expression: Option<&Expression>,
        select: Option<&Select>,
    ) -> &'static str {
        let inner_only = select.is_some_and(|select| !select.from.iter().any(has_outer_join));
        let never_null = match expression.map(|e| &e.kind) {
            Some(ExpressionKind::Column { relation, column }) if inner_only => {
                match self.relations.get(relation) {
                    Some(Relation::Table(table)) => {
                        table.columns.get(*column).is_some_and(|c| c.not_null)
                    }
                    _ => false,
                }
            }
            _ => false,
        };
        match (never_null, key.descending) {
            (true, true) => " DESC",
            (true, false) => "",
            (false, descending) => direction(descending, key.nulls_first),
        }
    }

    pub(super) fn limit(&mut self, query: &Query) -> Result<String> {
        let limit = match &query.limit {
            Some(limit) => Some(self.row_count(limit, "pyql_limit")?),
            None => None,
        };
        let offset = match &query.offset {
            Some(offset) => Some(self.row_count(offset, "pyql_offset")?),
            None => None,
        };
        Ok(match (limit, offset) {
            (None, None) => String::new(),
            (Some(limit), None) => format!(" LIMIT {limit}"),
            (limit, Some(offset)) => {
                let limit = limit.unwrap_or_else(|| "-1".to_owned());
                format!(" LIMIT {limit} OFFSET {offset}")
            }
        })
    }

    fn row_count(&mut self, count: &Expression, check: &str) -> Result<String> {
        match &count.kind {
            ExpressionKind::Constant(Value::Int(n)) if *n >= 0 => Ok(n.to_string()),
            _ => Ok(format!("{check}({})", self.expression(count)?)),
        }
    }
}

/// SQLite makes `x AND false` a bare 0 while it reads, which would be a
/// column's place.
fn unfolded(sql: String, key: &Expression) -> String {
    match key.kind {
        ExpressionKind::And(_) => format!("ifnull({sql}, NULL)"),
        _ => sql,
    }
}

/// What a key of ORDER BY sorts by.
fn sort_expression<'a>(key: &'a SortKey, select: Option<&'a Select>) -> Result<&'a Expression> {
    match &key.by {
        SortBy::Expression(expression) => Ok(expression),
        SortBy::Column(place) => select
            .and_then(|select| select.projection.get(*place))
            .ok_or_else(|| Error::internal("ORDER BY names a column that is not there")),
    }
}

/// ASC or DESC with the place of nulls, where it is not SQLite's own.
pub(super) fn direction(descending: bool, nulls_first: bool) -> &'static str {
    match (descending, nulls_first) {
        (false, true) => "",
        (false, false) => " NULLS LAST",
        (true, true) => " DESC NULLS FIRST",
        (true, false) => " DESC",
    }
}

pub(super) fn with_collation(sql: String, ty: &Type) -> String {
    match collation(ty) {
        Some(collation) => format!("{sql} COLLATE {collation}"),
        None if *ty == Type::Char(None) => format!("{sql} COLLATE {UNPADDED}"),
        None => sql,
    }
}

/// A SELECT or VALUES with nothing around it, as an arm of a set operation may be.
pub(super) fn is_bare_select(query: &Query) -> bool {
    let bare = query.with.is_empty()
        && query.order_by.is_empty()
        && query.limit.is_none()
        && query.offset.is_none();
    match &query.body {
        Body::Select(select) => bare && !matches!(select.distinct, Distinct::On(_)),
        Body::Values(_) => bare,
        Body::SetOperation { .. } => false,
    }
}

/// It groups all rows into one, which SQLite does not see: it looks for GROUP BY
/// or an aggregate in the list.
fn is_unseen_total(select: &Select) -> bool {
    let is_aggregate = |e: &Expression| matches!(e.kind, ExpressionKind::Aggregate(_));
    let mut columns = select.projection.iter();
    select.grouped && select.group_by.is_empty() && !columns.any(|e| walk::any(e, &is_aggregate))
}

fn has_outer_join(item: &From) -> bool {
    match item {
        From::Join {
            kind, left, right, ..
        } => {
            !matches!(kind, JoinKind::Cross | JoinKind::Inner)
                || has_outer_join(left)
                || has_outer_join(right)
        }
        _ => false,
    }
}
