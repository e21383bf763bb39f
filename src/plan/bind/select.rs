//! SELECT: its list, conditions, groups and order.

use super::grouping_sets::Grouping;
use super::lock::has_window;
use super::scope::{Clause, Scope};
use super::{Binder, output};
use crate::error::{Result, SqlState};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::query::{
    Body, CommonTable, Distinct, OutputColumn, Query as Bound, Select as BoundSelect, SortBy,
    SortKey,
};
use crate::plan::syntax::{self, Expr, Node, Place, Query, Select, SortItem, Target};
use crate::types::Type;

/// The most columns that a select list may have, as in PostgreSQL.
const MAX_COLUMNS: usize = 1664;

/// A select list with where its items stand in the text.
#[derive(Default)]
pub(super) struct Targets {
    pub(super) expressions: Vec<Expression>,
    pub(super) columns: Vec<OutputColumn>,
    pub(super) places: Vec<Place>,
}

impl Binder<'_> {
    /// A plain SELECT with the clauses of its query, in a scope of its own.
    pub(super) fn select(
        &mut self,
        select: &Select,
        query: &Query,
        resolve_unknowns: bool,
    ) -> Result<Bound> {
        self.scopes.push(Scope::default());
        let bound = self.select_here(select, query, resolve_unknowns);
        self.scopes.pop();
        bound
    }

    fn select_here(
        &mut self,
        select: &Select,
        query: &Query,
        resolve_unknowns: bool,
    ) -> Result<Bound> {
        if let Some(scope) = self.scopes.last_mut() {
            scope.markable = true;
            let named = select.windows.iter();
            scope.windows = named
                .map(|(name, spec)| (name.text.clone(), spec.clone()))
                .collect();
        }
        let mut from = self.bind_from(&select.from)?;
        self.enter_clause(Clause::Targets);
        let mut targets = self.targets(&select.targets)?;
        let filter = self.filter(select.filter.as_ref())?;
        self.enter_clause(Clause::Having);
        let having = match &select.having {
            Some(having) => Some(self.condition(having, "HAVING")?),
            None => None,
        };
        self.enter_clause(Clause::OrderBy);
        let mut order_by = self.order_by(&query.order_by, &mut targets)?;
        self.enter_clause(Clause::GroupBy);
        let grouping = self.grouping(&select.group_by, &mut targets)?;
        self.enter_clause(Clause::DistinctOn);
        let distinct = self.distinct(&select.distinct, &mut targets, &order_by, &query.order_by)?;
        if resolve_unknowns {
            self.resolve_targets(&mut targets)?;
        }
        let (limit, offset) = self.limits(query)?;
        let grouped = !select.group_by.items.is_empty()
            || having.is_some()
            || self.scopes.last().is_some_and(|scope| scope.aggregates);
        let summary = if distinct != Distinct::No {
            Some("DISTINCT clause")
        } else if !select.group_by.items.is_empty() {
            Some("GROUP BY clause")
        } else if having.is_some() {
            Some("HAVING clause")
        } else if grouped {
            Some("aggregate functions")
        } else {
            has_window(&targets.expressions).then_some("window functions")
        };
        self.check_set_calls(&targets.expressions)?;
        let locks = self.locks(query, &mut from, summary)?;
        from.iter_mut().for_each(|item| self.mark_rows(item));
        let mut body = BoundSelect {
            distinct,
            projection: targets.expressions,
            from,
            filter,
            group_by: grouping.keys.clone(),
            grouped,
            having,
        };
        let mut with = Vec::new();
        if grouped {
            self.check_grouping(&body, &order_by, &grouping)?;
            (body, with) = self.settle_groups(body, &grouping, &mut order_by)?;
        }
        Ok(Bound {
            with,
            body: Body::Select(Box::new(body)),
            order_by,
            limit,
            offset,
            columns: targets.columns,
            locks,
        })
    }

    /// Writes out what engines lack of a grouped query: several grouping sets,
    /// GROUPING, rows made of groups; with the common tables for it.
    fn settle_groups(
        &mut self,
        mut select: BoundSelect,
        grouping: &Grouping,
        order_by: &mut [SortKey],
    ) -> Result<(BoundSelect, Vec<CommonTable>)> {
        let scope = self.scopes.last();
        let yields_rows = scope.is_some_and(|scope| scope.set_call.is_some());
        if grouping.sets.len() == 1 && !yields_rows {
            self.settle_groupings(&mut select, order_by)?;
            return Ok((select, Vec::new()));
        }
        let (spread, common) = self.spread(select, grouping, order_by)?;
        Ok((spread, vec![common]))
    }

    fn settle_groupings(&self, select: &mut BoundSelect, order_by: &mut [SortKey]) -> Result<()> {
        let keys = &select.group_by;
        let sorted = order_by.iter_mut().filter_map(|key| match &mut key.by {
            SortBy::Expression(by) => Some(by),
            SortBy::Column(_) => None,
        });
        let parts = select.projection.iter_mut().chain(&mut select.having);
        parts
            .chain(sorted)
            .try_for_each(|part| self.settle_grouping(part, keys))
    }

    pub(super) fn filter(&mut self, filter: Option<&Expr>) -> Result<Option<Expression>> {
        self.enter_clause(Clause::Where);
        filter
            .map(|filter| self.condition(filter, "WHERE"))
            .transpose()
    }

    /// A select or RETURNING list, `*` spelled out.
    pub(super) fn targets(&mut self, list: &[Target]) -> Result<Targets> {
        let mut targets = Targets::default();
        for target in list {
            let place = output::start(&target.expr);
            if let Node::Star(path) = &target.expr.node {
                for column in self.star(path, place)? {
                    targets.push(column.expression, column.name, column.origin, place);
                }
                continue;
            }
            if let Node::Field {
                operand,
                field: None,
            } = &target.expr.node
            {
                for (name, expression) in self.all_fields(operand)? {
                    targets.push(expression, name, None, place);
                }
                continue;
            }
            let expression = self.expression(&target.expr)?;
            let name = match &target.alias {
                Some(alias) => alias.text.clone(),
                None => output::name_of(&target.expr),
            };
            let origin = self.origin(&expression);
            targets.push(expression, name, origin, place);
        }
        if targets.expressions.len() > MAX_COLUMNS {
            return Err(crate::error::Error::new(
                SqlState::TOO_MANY_COLUMNS,
                format!("target lists can have at most {MAX_COLUMNS} entries"),
            ));
        }
        Ok(targets)
    }

    /// The stored column that an expression is, if it is nothing else.
    fn origin(&self, expression: &Expression) -> Option<(u32, u16)> {
        let ExpressionKind::Column { .. } = expression.kind else {
            return None;
        };
        let items = self.scopes.iter().rev().flat_map(|scope| &scope.items);
        let mut columns = items.flat_map(|item| &item.columns);
        columns
            .find(|column| column.expression == *expression)
            .and_then(|column| column.origin)
    }

    /// Literals and parameters that nothing has given a type become text.
    pub(super) fn resolve_targets(&mut self, targets: &mut Targets) -> Result<()> {
        for (at, place) in targets.places.clone().into_iter().enumerate() {
            if targets.expressions[at].ty == Type::Unknown {
                let unknown = targets.expressions[at].clone();
                let resolved = self.resolve_unknown(unknown, place)?;
                targets.columns[at].ty = resolved.ty.clone();
                targets.expressions[at] = resolved;
            }
        }
        Ok(())
    }

    /// A key of GROUP BY: a column of FROM first, then an output name, number,
    /// or expression.
    pub(super) fn group_key(&mut self, expr: &Expr, targets: &mut Targets) -> Result<Expression> {
        let output = match &expr.node {
            Node::Column(path) if path.len() == 1 && self.find_bare(&path[0])?.is_none() => {
                self.output_named(&path[0].text, targets, "GROUP BY", expr.place)?
            }
            Node::Integer(digits) => {
                Some(self.output_numbered(digits, targets, "GROUP BY", expr.place)?)
            }
            _ => None,
        };
        let key = match output {
            Some(at) => {
                self.resolve_one(targets, at)?;
                targets.expressions[at].clone()
            }
            None => {
                self.constant_place(expr, "GROUP BY")?;
                let key = self.expression(expr)?;
                self.resolve_unknown(key, expr.place)?
            }
        };
        self.groupable(&key.ty, expr.place)?;
        let place = output.map_or(expr.place, |at| targets.places[at]);
        let refused = |state: SqlState, what: &str| {
            self.error(state, place, format!("{what} are not allowed in GROUP BY"))
        };
        if contains_aggregate(&key) {
            return Err(refused(SqlState::GROUPING_ERROR, "aggregate functions"));
        }
        if has_window(std::slice::from_ref(&key)) {
            return Err(refused(SqlState::WINDOWING_ERROR, "window functions"));
        }
        Ok(key)
    }

    fn resolve_one(&mut self, targets: &mut Targets, at: usize) -> Result<()> {
        let place = targets.places[at];
        let resolved = self.resolve_unknown(targets.expressions[at].clone(), place)?;
        targets.columns[at].ty = resolved.ty.clone();
        targets.expressions[at] = resolved;
        Ok(())
    }

    /// The output column of this name; an ambiguous name is an error.
    fn output_named(
        &self,
        name: &str,
        targets: &Targets,
        clause: &str,
        place: Place,
    ) -> Result<Option<usize>> {
        let mut found: Option<usize> = None;
        for (at, column) in targets.columns.iter().enumerate() {
            if column.name != name {
                continue;
            }
            match found {
                Some(first) if targets.expressions[first] != targets.expressions[at] => {
                    return Err(self.error(
                        SqlState::AMBIGUOUS_COLUMN,
                        place,
                        format!("{clause} \"{name}\" is ambiguous"),
                    ));
                }
                Some(_) => {}
                None => found = Some(at),
            }
        }
        Ok(found)
    }

    fn output_numbered(
        &self,
        digits: &str,
        targets: &Targets,
        clause: &str,
        place: Place,
    ) -> Result<usize> {
        if digits.parse::<i32>().is_err() {
            // Too large for an integer, so a number of another kind.
            return Err(self.error(
                SqlState::SYNTAX_ERROR,
                place,
                format!("non-integer constant in {clause}"),
            ));
        }
        let number = digits.parse::<usize>().ok();
        match number.filter(|number| (1..=targets.columns.len()).contains(number)) {
            Some(number) => Ok(number - 1),
            None => Err(self.error(
                SqlState::INVALID_COLUMN_REFERENCE,
                place,
                format!("{clause} position {digits} is not in select list"),
            )),
        }
    }

    fn constant_place(&self, expr: &Expr, clause: &str) -> Result<()> {
        if matches!(
            expr.node,
            Node::String(_) | Node::Decimal(_) | Node::Bool(_)
        ) {
            return Err(self.error(
                SqlState::SYNTAX_ERROR,
                expr.place,
                format!("non-integer constant in {clause}"),
            ));
        }
        Ok(())
    }

    /// ORDER BY of a SELECT: output names and numbers first, then expressions.
    fn order_by(&mut self, items: &[SortItem], targets: &mut Targets) -> Result<Vec<SortKey>> {
        let mut keys = Vec::with_capacity(items.len());
        for item in items {
            let by = match self.output_place(&item.by, targets)? {
                Some(at) => {
                    self.resolve_one(targets, at)?;
                    self.sortable(&targets.expressions[at], item.by.place)?;
                    SortBy::Column(at)
                }
                None => {
                    self.constant_place(&item.by, "ORDER BY")?;
                    let key = self.expression(&item.by)?;
                    let key = self.resolve_unknown(key, item.by.place)?;
                    self.sortable(&key, item.by.place)?;
                    match targets.expressions.iter().position(|target| *target == key) {
                        Some(at) => SortBy::Column(at),
                        None => SortBy::Expression(key),
                    }
                }
            };
            keys.push(SortKey {
                by,
                descending: item.descending,
                nulls_first: item.nulls_first.unwrap_or(item.descending),
            });
        }
        Ok(keys)
    }

    /// The output column that a bare name or number of ORDER BY means.
    pub(super) fn output_place(&self, by: &Expr, targets: &Targets) -> Result<Option<usize>> {
        match &by.node {
            Node::Column(path) if path.len() == 1 => {
                self.output_named(&path[0].text, targets, "ORDER BY", by.place)
            }
            Node::Integer(digits) => self
                .output_numbered(digits, targets, "ORDER BY", by.place)
                .map(Some),
            _ => Ok(None),
        }
    }

    fn distinct(
        &mut self,
        distinct: &syntax::Distinct,
        targets: &mut Targets,
        order_by: &[SortKey],
        sorted: &[SortItem],
    ) -> Result<Distinct> {
        match distinct {
            syntax::Distinct::No => Ok(Distinct::No),
            syntax::Distinct::Rows => {
                for (column, place) in targets.columns.iter().zip(&targets.places) {
                    self.groupable(&column.ty, *place)?;
                }
                let outside = order_by
                    .iter()
                    .position(|key| matches!(key.by, SortBy::Expression(_)));
                if let Some(at) = outside {
                    return Err(self.error(
                        SqlState::INVALID_COLUMN_REFERENCE,
                        sorted
                            .get(at)
                            .map_or(Place(0), |item| output::start(&item.by)),
                        "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
                    ));
                }
                Ok(Distinct::Rows)
            }
            syntax::Distinct::On(list) => self.distinct_on(list, targets, order_by),
        }
    }

    fn distinct_on(
        &mut self,
        list: &[Expr],
        targets: &mut Targets,
        order_by: &[SortKey],
    ) -> Result<Distinct> {
        let mut keys = Vec::with_capacity(list.len());
        for expr in list {
            let key = match self.output_place(expr, targets)? {
                Some(at) => {
                    self.resolve_one(targets, at)?;
                    targets.expressions[at].clone()
                }
                None => {
                    let key = self.expression(expr)?;
                    self.resolve_unknown(key, expr.place)?
                }
            };
            self.groupable(&key.ty, expr.place)?;
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let sorted = |key: &SortKey| match &key.by {
            SortBy::Column(at) => keys.contains(&targets.expressions[*at]),
            SortBy::Expression(by) => keys.contains(by),
        };
        let leading = order_by.iter().take_while(|key| sorted(key)).count();
        if leading < keys.len() && leading < order_by.len() {
            return Err(self.error(
                SqlState::INVALID_COLUMN_REFERENCE,
                list.first().map_or(Place(0), |expr| expr.place),
                "SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
            ));
        }
        Ok(Distinct::On(keys))
    }

    pub(super) fn limits(
        &mut self,
        query: &Query,
    ) -> Result<(Option<Expression>, Option<Expression>)> {
        let before = self.enter_clause(Clause::Limit);
        let limit = self.limit(query.limit.as_ref(), "LIMIT");
        let offset = self.limit(query.offset.as_ref(), "OFFSET");
        self.enter_clause(before);
        Ok((limit?, offset?))
    }

    fn limit(&mut self, expr: Option<&Expr>, what: &str) -> Result<Option<Expression>> {
        let Some(expr) = expr else {
            return Ok(None);
        };
        let value = self.whole_number(expr, what)?;
        let mut has_column = false;
        crate::plan::visit::columns(&value, &mut |relation, _| {
            let scope = self.scopes.last();
            has_column |= scope.is_some_and(|scope| scope.relations.contains(&relation));
        });
        if has_column {
            return Err(self.error(
                SqlState::INVALID_COLUMN_REFERENCE,
                expr.place,
                format!("argument of {what} must not contain variables"),
            ));
        }
        Ok(Some(value))
    }
}

impl Targets {
    fn push(
        &mut self,
        expression: Expression,
        name: String,
        origin: Option<(u32, u16)>,
        place: Place,
    ) {
        self.columns.push(OutputColumn {
            name,
            ty: expression.ty.clone(),
            origin,
        });
        self.expressions.push(expression);
        self.places.push(place);
    }
}

pub(super) fn contains_aggregate(expression: &Expression) -> bool {
    crate::plan::visit::any(expression, &mut |part| {
        matches!(part.kind, ExpressionKind::Aggregate(_))
    })
}
