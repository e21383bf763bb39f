//! Queries: WITH, set operations, VALUES, and the clauses on top.

use super::Binder;
use super::lock::lock_name;
use super::output;
use super::scope::{Clause, CommonEntry, Gives, Scope};
use super::select::Targets;
use crate::error::{Error, Result, SqlState};
use crate::plan::coerce::{self, Strength};
use crate::plan::expression::Expression;
use crate::plan::query::{
    Body, CommonTable, Distinct, From, OutputColumn, Query as Bound, RelationId,
    Select as BoundSelect, SetOperator, SortBy, SortKey,
};
use crate::plan::syntax::{CommonBody, Expr, Name, Node, Place, Query, QueryBody, With};
use crate::types::Type;

impl Binder<'_> {
    /// A query; `resolve_unknowns` makes untyped literals in its list text.
    pub(super) fn query(&mut self, query: &Query, resolve_unknowns: bool) -> Result<Bound> {
        self.nested(|binder| {
            let outside = binder.commons.len();
            let with = binder.with(query.with.as_ref());
            let bound = with.and_then(|with| {
                let mut bound = binder.query_body(query, resolve_unknowns)?;
                bound.with.splice(0..0, with);
                Ok(bound)
            });
            binder.commons.truncate(outside);
            bound
        })
    }

    fn query_body(&mut self, query: &Query, resolve_unknowns: bool) -> Result<Bound> {
        match &query.body {
            QueryBody::Select(select) => self.select(select, query, resolve_unknowns),
            QueryBody::Values(rows) => {
                self.scopes.push(Scope::default());
                let bound = self.values(rows, query, resolve_unknowns);
                self.scopes.pop();
                bound
            }
            QueryBody::SetOperation {
                operator,
                all,
                left,
                right,
            } => {
                let places = (left.as_ref(), right.as_ref());
                let left = self.query(left, false)?;
                let right = self.query(right, false)?;
                self.combine(*operator, *all, (left, right), places, query)
            }
        }
    }

    /// The common tables, which are in sight until the caller drops them.
    pub(super) fn with(&mut self, with: Option<&With>) -> Result<Vec<CommonTable>> {
        let Some(with) = with else {
            return Ok(Vec::new());
        };
        let mut bound: Vec<CommonTable> = Vec::with_capacity(with.tables.len());
        let outside = self.commons.len();
        for common in &with.tables {
            self.check_common_name(&common.name, outside)?;
            let CommonBody::Query(query) = &common.body else {
                return Err(self.error(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    common.name.place,
                    "WITH clause containing a data-modifying statement must be at the top level",
                ));
            };
            bound.push(self.common_table(common, query, with.recursive)?);
        }
        Ok(bound)
    }

    /// One common table, which then is in sight.
    pub(super) fn common_table(
        &mut self,
        common: &crate::plan::syntax::CommonTable,
        query: &Query,
        recursive: bool,
    ) -> Result<CommonTable> {
        let id = self.common();
        let (mut query, recursive) = match &query.body {
            QueryBody::SetOperation {
                operator: SetOperator::Union,
                ..
            } if recursive => self.recursive_query(query, &common.name, &common.columns, id)?,
            _ => (self.query(query, true)?, false),
        };
        self.rename(&mut query.columns, &common.columns, &common.name)?;
        self.commons.push(CommonEntry {
            name: common.name.text.clone(),
            id,
            columns: query.columns.to_vec(),
            references: 0,
            gives: Gives::Rows,
        });
        Ok(CommonTable {
            id,
            name: common.name.text.clone(),
            query,
            recursive,
            materialized: common.materialized,
        })
    }

    pub(super) fn rename(
        &self,
        columns: &mut [OutputColumn],
        names: &[Name],
        with: &Name,
    ) -> Result<()> {
        if names.len() > columns.len() {
            return Err(self.error(
                SqlState::INVALID_COLUMN_REFERENCE,
                with.place,
                format!(
                    "WITH query \"{}\" has {} columns available but {} columns specified",
                    with.text,
                    columns.len(),
                    names.len()
                ),
            ));
        }
        for (column, name) in columns.iter_mut().zip(names) {
            column.name.clone_from(&name.text);
        }
        Ok(())
    }

    /// `first UNION \[ALL\] next`, where `next` may name the table itself.
    fn recursive_query(
        &mut self,
        query: &Query,
        name: &Name,
        columns: &[Name],
        id: crate::plan::query::CommonTableId,
    ) -> Result<(Bound, bool)> {
        let QueryBody::SetOperation {
            operator,
            all,
            left,
            right,
        } = &query.body
        else {
            return Err(Error::internal("a recursive query that is no union"));
        };
        let outside = self.commons.len();
        let with = self.with(query.with.as_ref())?;
        let syntax = (left.as_ref(), right.as_ref());
        let left = self.query(left, true)?;
        let mut seen: Vec<OutputColumn> = left.columns.to_vec();
        self.rename(&mut seen, columns, name)?;
        let entry = self.commons.len();
        self.commons.push(CommonEntry {
            name: name.text.clone(),
            id,
            columns: seen,
            references: 0,
            gives: Gives::Rows,
        });
        let right = self.query(right, false)?;
        let references = self.commons[entry].references;
        self.commons.truncate(outside);
        if references > 1 {
            return Err(self.error(
                SqlState::INVALID_RECURSION,
                name.place,
                format!(
                    "recursive reference to query \"{}\" must not appear more than once",
                    name.text
                ),
            ));
        }
        if references > 0 {
            let places = output::column_places(syntax.0, left.columns.len());
            self.check_recursion(&left, &right, name, &places)?;
            if !query.order_by.is_empty() || query.limit.is_some() || query.offset.is_some() {
                return self.unsupported(
                    "ORDER BY, LIMIT or OFFSET in a recursive query",
                    query.place,
                );
            }
        }
        let mut bound = self.combine(*operator, *all, (left, right), syntax, query)?;
        bound.with.splice(0..0, with);
        Ok((bound, references > 0))
    }

    /// The recursive term must have the types of the other.
    fn check_recursion(
        &self,
        left: &Bound,
        right: &Bound,
        name: &Name,
        places: &[Place],
    ) -> Result<()> {
        for (at, (first, next)) in left.columns.iter().zip(&right.columns).enumerate() {
            if next.ty == Type::Unknown {
                continue;
            }
            let types = [first.ty.clone(), next.ty.clone()];
            let overall = coerce::common_type(&types, "UNION")?;
            if !overall.same_base(&first.ty) {
                return Err(self
                    .error(
                        SqlState::DATATYPE_MISMATCH,
                        places[at],
                        format!(
                            "recursive query \"{}\" column {} has type {} in non-recursive term but type {overall} overall",
                            name.text,
                            at + 1,
                            first.ty
                        ),
                    )
                    .hint("Cast the output of the non-recursive term to the correct type."));
            }
        }
        Ok(())
    }

    /// A set operation with the clauses of its query on top.
    fn combine(
        &mut self,
        operator: SetOperator,
        all: bool,
        (mut left, mut right): (Bound, Bound),
        (left_syntax, right_syntax): (&Query, &Query),
        query: &Query,
    ) -> Result<Bound> {
        let name = operator_name(operator);
        let left_places = output::column_places(left_syntax, left.columns.len());
        let right_places = output::column_places(right_syntax, right.columns.len());
        if left.columns.len() != right.columns.len() {
            return Err(self.error(
                SqlState::SYNTAX_ERROR,
                right_places.first().copied().unwrap_or(query.place),
                format!("each {name} query must have the same number of columns"),
            ));
        }
        let mut types = Vec::with_capacity(left.columns.len());
        let pairs = left.columns.iter().zip(&right.columns);
        for ((left, right), place) in pairs.zip(&right_places) {
            let pair = [left.ty.clone(), right.ty.clone()];
            let ty = coerce::common_type(&pair, name)
                .map_err(|error| error.at(self.position(*place)))?;
            if !all || operator != SetOperator::Union {
                self.groupable(&ty, *place)?;
            }
            types.push(ty);
        }
        self.coerce_columns(&mut left, &types, Strength::Implicit, &left_places)?;
        self.coerce_columns(&mut right, &types, Strength::Implicit, &right_places)?;
        pad_columns(&mut left, &types);
        pad_columns(&mut right, &types);
        let mut columns = left.columns.clone();
        columns.iter_mut().for_each(|column| column.origin = None);
        self.scopes.push(Scope::default());
        let order_by = self.order_by_columns(&query.order_by, &columns);
        let limits = self.limits(query);
        self.scopes.pop();
        let (limit, offset) = limits?;
        if let Some(lock) = query.locks.first() {
            return Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                format!(
                    "{} is not allowed with UNION/INTERSECT/EXCEPT",
                    lock_name(lock.strength)
                ),
            ));
        }
        Ok(Bound {
            with: Vec::new(),
            body: Body::SetOperation {
                operator,
                all,
                left: Box::new(left),
                right: Box::new(right),
            },
            order_by: order_by?,
            limit,
            offset,
            columns,
            locks: Vec::new(),
        })
    }

    /// ORDER BY of a set operation or VALUES: output columns only.
    fn order_by_columns(
        &mut self,
        items: &[crate::plan::syntax::SortItem],
        columns: &[OutputColumn],
    ) -> Result<Vec<SortKey>> {
        let targets = Targets {
            expressions: columns
                .iter()
                .enumerate()
                .map(|(at, column)| Expression::column(RelationId(u32::MAX), at, column.ty.clone()))
                .collect(),
            columns: columns.to_vec(),
            places: vec![Place(0); columns.len()],
        };
        let mut keys = Vec::with_capacity(items.len());
        for item in items {
            let Some(at) = self.output_place(&item.by, &targets)? else {
                if let Node::Column(path) = &item.by.node
                    && let [name] = path.as_slice()
                {
                    return Err(self.error(
                        SqlState::UNDEFINED_COLUMN,
                        name.place,
                        format!("column \"{}\" does not exist", name.text),
                    ));
                }
                return Err(self
                    .error(
                        SqlState::FEATURE_NOT_SUPPORTED,
                        output::start(&item.by),
                        "invalid UNION/INTERSECT/EXCEPT ORDER BY clause",
                    )
                    .detail("Only result column names can be used, not expressions or functions.")
                    .hint(
                        "Add the expression/function to every SELECT, or move the UNION into a FROM clause.",
                    ));
            };
            self.sortable(&targets.expressions[at], item.by.place)?;
            keys.push(SortKey {
                by: SortBy::Column(at),
                descending: item.descending,
                nulls_first: item.nulls_first.unwrap_or(item.descending),
            });
        }
        Ok(keys)
    }

    fn values(
        &mut self,
        rows: &[Vec<Expr>],
        query: &Query,
        resolve_unknowns: bool,
    ) -> Result<Bound> {
        self.enter_clause(Clause::Values);
        let width = rows.first().map_or(0, Vec::len);
        let mut bound: Vec<Vec<Expression>> = Vec::with_capacity(rows.len());
        for row in rows {
            if row.len() != width {
                let place = row.first().map_or(query.place, |expr| expr.place);
                return Err(self.error(
                    SqlState::SYNTAX_ERROR,
                    place,
                    "VALUES lists must all be the same length",
                ));
            }
            bound.push(self.expressions(row)?);
        }
        let mut columns = Vec::with_capacity(width);
        for at in 0..width {
            let types: Vec<Type> = bound.iter().map(|row| row[at].ty.clone()).collect();
            let unknown = types.iter().all(|ty| *ty == Type::Unknown);
            let ty = if unknown && !resolve_unknowns {
                Type::Unknown
            } else {
                coerce::common_type(&types, "VALUES").map_err(|error| {
                    let place = rows.first().map_or(query.place, |row| row[at].place);
                    error.at(self.position(place))
                })?
            };
            for (row, exprs) in bound.iter_mut().zip(rows) {
                let value = row[at].clone();
                row[at] = self.coerce(value, &ty, Strength::Implicit, exprs[at].place)?;
                if ty == Type::Char(None) {
                    row[at] = coerce::padded(row[at].clone());
                }
            }
            columns.push(OutputColumn {
                name: format!("column{}", at + 1),
                ty,
                origin: None,
            });
        }
        let order_by = self.order_by_columns(&query.order_by, &columns)?;
        let (limit, offset) = self.limits(query)?;
        if let Some(lock) = query.locks.first() {
            return Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                format!("{} cannot be applied to VALUES", lock_name(lock.strength)),
            ));
        }
        Ok(Bound {
            with: Vec::new(),
            body: Body::Values(bound),
            order_by,
            limit,
            offset,
            columns,
            locks: Vec::new(),
        })
    }

    /// Makes a query yield these types.
    pub(super) fn coerce_columns(
        &mut self,
        query: &mut Bound,
        types: &[Type],
        strength: Strength,
        places: &[Place],
    ) -> Result<()> {
        let same = query
            .columns
            .iter()
            .zip(types)
            .all(|(column, ty)| column.ty == *ty);
        if same {
            return Ok(());
        }
        let sorted_here = query
            .order_by
            .iter()
            .any(|key| matches!(key.by, SortBy::Column(_)));
        match &mut query.body {
            Body::Select(select) if matches!(select.distinct, Distinct::On(_)) && sorted_here => {
                return self.wrap(query, types, strength, places);
            }
            Body::Select(select) => {
                // What it is sorted by stays as it was.
                let before = select.projection.clone();
                let targets = select.projection.iter_mut().zip(types);
                for ((target, ty), place) in targets.zip(places) {
                    let place = *place;
                    *target = self.coerce(target.clone(), ty, strength, place)?;
                }
                if select.distinct == Distinct::No {
                    for key in &mut query.order_by {
                        if let SortBy::Column(at) = key.by
                            && before[at] != select.projection[at]
                            && before[at].ty != Type::Unknown
                        {
                            key.by = SortBy::Expression(before[at].clone());
                        }
                    }
                }
            }
            Body::Values(rows) => {
                for row in rows {
                    for ((value, ty), place) in row.iter_mut().zip(types).zip(places) {
                        *value = self.coerce(value.clone(), ty, strength, *place)?;
                    }
                }
            }
            Body::SetOperation { left, right, .. } => {
                self.coerce_columns(left, types, strength, places)?;
                self.coerce_columns(right, types, strength, places)?;
            }
        }
        for (column, ty) in query.columns.iter_mut().zip(types) {
            if column.ty != *ty {
                column.ty = ty.clone();
                column.origin = None;
            }
        }
        Ok(())
    }

    /// `SELECT cast(a), … FROM (query)`: converts what comes out of it.
    pub(super) fn wrap(
        &mut self,
        query: &mut Bound,
        types: &[Type],
        strength: Strength,
        places: &[Place],
    ) -> Result<()> {
        let relation = self.relation();
        let inner = query.columns.clone();
        let mut projection = Vec::with_capacity(inner.len());
        for (at, ((column, ty), place)) in inner.iter().zip(types).zip(places).enumerate() {
            let value = Expression::column(relation, at, column.ty.clone());
            projection.push(self.coerce(value, ty, strength, *place)?);
        }
        let columns = inner
            .iter()
            .zip(types)
            .map(|(column, ty)| OutputColumn {
                name: column.name.clone(),
                ty: ty.clone(),
                origin: None,
            })
            .collect();
        let with = std::mem::take(&mut query.with);
        let outer = Bound {
            with,
            body: Body::Values(Vec::new()),
            order_by: Vec::new(),
            limit: None,
            offset: None,
            columns,
            locks: Vec::new(),
        };
        let inner = std::mem::replace(query, outer);
        query.body = Body::Select(Box::new(BoundSelect {
            distinct: Distinct::No,
            projection,
            from: vec![From::Subquery {
                relation,
                query: Box::new(inner),
                alias: "source".to_owned(),
                lateral: false,
            }],
            filter: None,
            group_by: Vec::new(),
            grouped: false,
            having: None,
        }));
        Ok(())
    }
}

/// Gives char(n) its blanks where the columns are to be plain bpchar.
fn pad_columns(query: &mut Bound, types: &[Type]) {
    let is_plain = |at: usize| types.get(at) == Some(&Type::Char(None));
    let pad = |row: &mut Vec<Expression>| {
        for (_, value) in row.iter_mut().enumerate().filter(|(at, _)| is_plain(*at)) {
            *value = coerce::padded(value.clone());
        }
    };
    match &mut query.body {
        Body::Select(select) => pad(&mut select.projection),
        Body::Values(rows) => rows.iter_mut().for_each(pad),
        Body::SetOperation { left, right, .. } => {
            pad_columns(left, types);
            pad_columns(right, types);
        }
    }
}

fn operator_name(operator: SetOperator) -> &'static str {
    match operator {
        SetOperator::Union => "UNION",
        SetOperator::Intersect => "INTERSECT",
        SetOperator::Except => "EXCEPT",
    }
}
