//! FROM: which relations a query sees and under which names.

use std::sync::Arc;

use super::Binder;
use super::expression::boolean;
use super::scope::{Clause, Gives, Item, ItemColumn};
use crate::error::{Error, Result, SqlState};
use crate::plan::coerce::{self, Strength};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::function::Returns;
use crate::plan::query::{From, JoinKind, OutputColumn};
use crate::plan::syntax::{Alias, Expr, FromItem, JoinCondition, Name, Node, Path, Place, Query};
use crate::types::{Array, Type, Value};

/// An item of FROM with what it brings in sight.
struct Bound {
    from: From,
    items: Vec<Item>,
}

impl Binder<'_> {
    /// Binds a FROM list into the current scope.
    pub(super) fn bind_from(&mut self, list: &[FromItem]) -> Result<Vec<From>> {
        let before = self.enter_clause(Clause::From);
        let start = self.items().len();
        let mut from = Vec::with_capacity(list.len());
        for item in list {
            let bound = self.bind_item(item)?;
            self.check_names(start, &bound.items)?;
            from.push(bound.from);
            for mut item in bound.items {
                item.lateral_only = true;
                item.lateral_allowed = true;
                self.items().push(item);
            }
        }
        for item in &mut self.items()[start..] {
            item.lateral_only = false;
        }
        self.enter_clause(before);
        Ok(from)
    }

    pub(super) fn items(&mut self) -> &mut Vec<Item> {
        let at = self.scopes.len() - 1;
        &mut self.scopes[at].items
    }

    /// Sets what is being bound; gives what was before.
    pub(super) fn enter_clause(&mut self, clause: Clause) -> Clause {
        match self.scopes.last_mut() {
            Some(scope) => std::mem::replace(&mut scope.clause, clause),
            None => clause,
        }
    }

    /// Two items of one FROM must not share a name.
    fn check_names(&mut self, start: usize, new: &[Item]) -> Result<()> {
        for item in new.iter().filter(|item| item.named) {
            let scope = self.items();
            let taken = scope[start..].iter().any(|other| clashes(other, item));
            if taken {
                return Err(duplicate_alias(&item.alias));
            }
        }
        Ok(())
    }

    fn bind_item(&mut self, item: &FromItem) -> Result<Bound> {
        self.nested(|binder| match item {
            FromItem::Table { path, alias } => binder.bind_table(path, alias.as_ref()),
            FromItem::Subquery {
                query,
                alias,
                lateral,
                ..
            } => binder.bind_subquery(query, alias.as_ref(), *lateral),
            FromItem::Function {
                call,
                more,
                alias,
                ordinality,
                lateral,
            } => binder.bind_function((call, more), alias.as_ref(), *ordinality, *lateral),
            FromItem::Join {
                kind,
                left,
                right,
                condition,
                alias,
                place,
            } => binder.bind_join(*kind, (left, right), condition, alias.as_ref(), *place),
        })
    }

    fn bind_table(&mut self, path: &Path, alias: Option<&Alias>) -> Result<Bound> {
        let relation = self.relation();
        if let [name] = path.as_slice()
            && let Some(entry) = self.commons.iter_mut().rev().find(|e| e.name == name.text)
        {
            entry.references += 1;
            match entry.gives {
                Gives::Rows => {}
                Gives::Nothing => {
                    let message = format!(
                        "WITH query \"{}\" does not have a RETURNING clause",
                        name.text
                    );
                    return Err(self.error(SqlState::FEATURE_NOT_SUPPORTED, name.place, message));
                }
                Gives::Itself(place) => {
                    let message = format!(
                        "recursive query \"{}\" must not contain data-modifying statements",
                        name.text
                    );
                    return Err(self.error(SqlState::INVALID_RECURSION, place, message));
                }
            }
            let (id, columns) = (entry.id, entry.columns.clone());
            let shown = alias.map_or(name.text.as_str(), |alias| &alias.name.text);
            let mut item = Item::derived(shown, relation, &columns);
            self.rename_columns(&mut item, alias)?;
            self.note_relation(relation);
            return Ok(Bound {
                from: From::Common {
                    relation,
                    common: id,
                    alias: shown.to_owned(),
                },
                items: vec![item],
            });
        }
        let table = match self.find_table(path)? {
            Some(_) => self.table(path)?,
            None => {
                let (query, own) = self.sequence_row(path)?;
                return self.bind_subquery(&query, alias.or(Some(&own)), false);
            }
        };
        let shown = alias.map(|alias| alias.name.text.as_str());
        let mut item = Item::table(&table, relation, shown);
        self.rename_columns(&mut item, alias)?;
        self.note_relation(relation);
        Ok(Bound {
            from: From::Table {
                relation,
                alias: item.alias.clone(),
                table: Arc::clone(&table),
            },
            items: vec![item],
        })
    }

    pub(super) fn note_relation(&mut self, relation: crate::plan::query::RelationId) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.relations.push(relation);
        }
    }

    /// `AS t (a, b)` names the first columns anew.
    fn rename_columns(&self, item: &mut Item, alias: Option<&Alias>) -> Result<()> {
        let Some(alias) = alias else {
            return Ok(());
        };
        let available = item.visible().count();
        if alias.columns.len() > available {
            return Err(Error::new(
                SqlState::INVALID_COLUMN_REFERENCE,
                format!(
                    "table \"{}\" has {available} columns available but {} columns specified",
                    alias.name.text,
                    alias.columns.len()
                ),
            ));
        }
        let visible = item.columns.iter_mut().filter(|column| !column.hidden);
        for (column, name) in visible.zip(&alias.columns) {
            column.name.clone_from(&name.text);
        }
        Ok(())
    }

    fn bind_subquery(
        &mut self,
        query: &Query,
        alias: Option<&Alias>,
        lateral: bool,
    ) -> Result<Bound> {
        let before = self.set_lateral(lateral);
        let query = self.query(query, true);
        self.set_lateral(before);
        let query = query?;
        let relation = self.relation();
        self.note_fields(relation, &query);
        let name = alias.map_or("", |alias| &alias.name.text);
        let mut item = Item::derived(name, relation, &query.columns);
        self.rename_columns(&mut item, alias)?;
        self.note_relation(relation);
        Ok(Bound {
            from: From::Subquery {
                relation,
                query: Box::new(query),
                alias: name.to_owned(),
                lateral,
            },
            items: vec![item],
        })
    }

    fn set_lateral(&mut self, lateral: bool) -> bool {
        match self.scopes.last_mut() {
            Some(scope) => std::mem::replace(&mut scope.lateral, lateral),
            None => false,
        }
    }

    /// A function in FROM may always see the items before it.
    fn bind_function(
        &mut self,
        (call, more): (&Expr, &[Expr]),
        alias: Option<&Alias>,
        ordinality: bool,
        lateral: bool,
    ) -> Result<Bound> {
        if let Some(alias) = alias.filter(|alias| !alias.types.is_empty()) {
            return self.bind_defined(call, alias, ordinality, lateral);
        }
        let before = self.set_lateral(true);
        let calls = std::iter::once(call).chain(more).flat_map(spread_unnest);
        let bound = calls
            .map(|call| self.row_function(&call))
            .collect::<Result<Vec<_>>>();
        self.set_lateral(before);
        let bound = bound?;
        let name = bound.first().map_or("", |(_, name)| name.as_str());
        let relation = self.relation();
        let shown = alias.map_or(name, |alias| &alias.name.text).to_owned();
        // A single column goes by the alias of its relation.
        let alone = alias.filter(|_| bound.len() == 1);
        let mut columns: Vec<OutputColumn> = bound
            .iter()
            .flat_map(|(call, name)| row_columns(call, name, alone))
            .collect();
        if ordinality {
            columns.push(OutputColumn {
                name: "ordinality".to_owned(),
                ty: Type::Int8,
                origin: None,
            });
        }
        let mut item = Item::derived(&shown, relation, &columns);
        self.rename_columns(&mut item, alias)?;
        for (column, named) in columns.iter_mut().zip(&item.columns) {
            column.name.clone_from(&named.name);
        }
        self.note_relation(relation);
        let mut calls = bound.into_iter().map(|(call, _)| call);
        let Some(call) = calls.next() else {
            return Err(Error::internal("a function in FROM without a call"));
        };
        Ok(Bound {
            from: From::Function {
                relation,
                call,
                more: calls.collect(),
                alias: shown,
                columns,
                ordinality,
                lateral,
            },
            items: vec![item],
        })
    }

    /// json_to_record and its kin, whose columns a definition list describes.
    fn bind_defined(
        &mut self,
        expr: &Expr,
        alias: &Alias,
        ordinality: bool,
        lateral: bool,
    ) -> Result<Bound> {
        const FUNCTIONS: [&str; 4] = [
            "json_to_record",
            "jsonb_to_record",
            "json_to_recordset",
            "jsonb_to_recordset",
        ];
        let refused = "a column definition list is only allowed for functions returning \"record\"";
        let Node::Call(call) = &expr.node else {
            return Err(self.error(SqlState::SYNTAX_ERROR, expr.place, refused));
        };
        let name = self.function_name(call, expr.place)?;
        let Some(name) = FUNCTIONS.iter().find(|known| **known == name) else {
            return Err(self.error(SqlState::SYNTAX_ERROR, expr.place, refused));
        };
        if ordinality {
            return self.unsupported("ORDINALITY with a column definition list", expr.place);
        }
        let mut columns = Vec::with_capacity(alias.columns.len());
        for (column, ty) in alias.columns.iter().zip(&alias.types) {
            columns.push(OutputColumn {
                name: column.text.clone(),
                ty: self.type_name(ty)?,
                origin: None,
            });
        }
        let before = self.set_lateral(true);
        let arguments = self.expressions(&call.arguments);
        self.set_lateral(before);
        let [json] = <[Expression; 1]>::try_from(arguments?).map_err(|_| {
            let message = format!("function {name} takes one argument");
            self.error(SqlState::UNDEFINED_FUNCTION, expr.place, message)
        })?;
        let wanted = match name.starts_with("jsonb") {
            true => Type::Jsonb,
            false => Type::Json,
        };
        let json = self.coerce(json, &wanted, Strength::Implicit, expr.place)?;
        let arguments = record_arguments(name, json, &columns);
        let call = self.builtin("pyql_to_records", arguments, expr.place)?;
        let relation = self.relation();
        let item = Item::derived(&alias.name.text, relation, &columns);
        self.note_relation(relation);
        Ok(Bound {
            from: From::Function {
                relation,
                call,
                more: Vec::new(),
                alias: alias.name.text.clone(),
                columns,
                ordinality,
                lateral,
            },
            items: vec![item],
        })
    }

    /// The call itself, which may yield rows here, and its name.
    fn row_function(&mut self, expr: &Expr) -> Result<(Expression, String)> {
        let Node::Call(call) = &expr.node else {
            let name = super::output::name_of(expr);
            return Ok((self.expression(expr)?, name));
        };
        let name = call.name.last().map_or("", |name| &name.text).to_owned();
        if call.over.is_some() {
            return self.unsupported("a window function in FROM", expr.place);
        }
        let rows = crate::plan::function::registry::named(&name).any(|f| f.is_set());
        if !rows {
            return Ok((self.expression(expr)?, name));
        }
        self.function_name(call, expr.place)?;
        let arguments = self.expressions(&call.arguments)?;
        let resolved = self.resolve(&name, call, &arguments, expr.place)?;
        let mut bound = self.call(resolved, arguments, expr.place)?;
        if let ExpressionKind::Call { arguments, .. } = &mut bound.kind {
            for argument in arguments {
                let value = std::mem::replace(
                    argument,
                    Expression::constant(crate::types::Value::Null, Type::Unknown),
                );
                *argument = self.resolve_unknown(value, expr.place)?;
            }
        }
        Ok((bound, name))
    }

    fn bind_join(
        &mut self,
        kind: JoinKind,
        (left, right): (&FromItem, &FromItem),
        condition: &JoinCondition,
        alias: Option<&Alias>,
        place: Place,
    ) -> Result<Bound> {
        let first = self.relations_here();
        let left = self.bind_item(left)?;
        let middle = self.relations_here();
        // LATERAL items on the right see the left side.
        let start = self.items().len();
        let allowed = matches!(kind, JoinKind::Inner | JoinKind::Left | JoinKind::Cross);
        for mut item in left.items.iter().cloned() {
            item.lateral_only = true;
            item.lateral_allowed = allowed;
            self.items().push(item);
        }
        let right = self.bind_item(right);
        self.items().truncate(start);
        let right = right?;
        self.note_nullable(kind, first, middle);
        for item in right.items.iter().filter(|item| item.named) {
            if left.items.iter().any(|other| clashes(other, item)) {
                return Err(duplicate_alias(&item.alias));
            }
        }
        let names = match condition {
            JoinCondition::Using(names) => names.clone(),
            JoinCondition::Natural => natural_names(&left.items, &right.items, place),
            _ => Vec::new(),
        };
        let (on, merged) = match condition {
            JoinCondition::On(expr) => {
                let on = self.join_condition(expr, &left.items, &right.items)?;
                (Some(on), Vec::new())
            }
            JoinCondition::None => (None, Vec::new()),
            _ => self.merge_columns(kind, &names, &left.items, &right.items)?,
        };
        let kind = match (kind, &on) {
            (JoinKind::Inner, None) => JoinKind::Cross,
            (kind, _) => kind,
        };
        let on = match (kind, on) {
            (JoinKind::Left | JoinKind::Right | JoinKind::Full, None) => Some(
                Expression::constant(crate::types::Value::Bool(true), Type::Bool),
            ),
            (_, on) => on,
        };
        let items = self.joined_items(left.items, right.items, merged, &names, alias)?;
        Ok(Bound {
            from: From::Join {
                kind,
                left: Box::new(left.from),
                right: Box::new(right.from),
                on,
            },
            items,
        })
    }

    /// How many relations this query's FROM has so far.
    fn relations_here(&self) -> usize {
        self.scopes.last().map_or(0, |scope| scope.relations.len())
    }

    /// Notes which relations a join may leave without a row: of those bound
    /// since `first`, the ones from `middle` on are its right side.
    fn note_nullable(&mut self, kind: JoinKind, first: usize, middle: usize) {
        let Some(scope) = self.scopes.last_mut() else {
            return;
        };
        let sides = match kind {
            JoinKind::Cross | JoinKind::Inner => return,
            JoinKind::Left => middle..scope.relations.len(),
            JoinKind::Right => first..middle,
            JoinKind::Full => first..scope.relations.len(),
        };
        let relations = scope.relations[sides].iter().copied();
        scope.nullable.extend(relations);
    }

    /// ON sees the two sides of its join and nothing else of this FROM.
    fn join_condition(&mut self, expr: &Expr, left: &[Item], right: &[Item]) -> Result<Expression> {
        let sides = left.iter().chain(right).cloned().collect();
        let outside = std::mem::replace(self.items(), sides);
        let before = self.enter_clause(Clause::On);
        let on = self.condition(expr, "JOIN/ON");
        self.enter_clause(before);
        *self.items() = outside;
        on
    }

    /// The condition and the merged columns of USING.
    fn merge_columns(
        &mut self,
        kind: JoinKind,
        names: &[Name],
        left: &[Item],
        right: &[Item],
    ) -> Result<(Option<Expression>, Vec<ItemColumn>)> {
        let mut equal = Vec::with_capacity(names.len());
        let mut merged: Vec<ItemColumn> = Vec::with_capacity(names.len());
        for name in names {
            if merged.iter().any(|column| column.name == name.text) {
                return Err(self.error(
                    SqlState::DUPLICATE_COLUMN,
                    name.place,
                    format!(
                        "column name \"{}\" appears more than once in USING clause",
                        name.text
                    ),
                ));
            }
            let left = self.using_column(name, left, "left")?;
            let right = self.using_column(name, right, "right")?;
            let types = [left.expression.ty.clone(), right.expression.ty.clone()];
            let ty = coerce::common_type(&types, "JOIN/USING")
                .map_err(|error| error.at(self.position(name.place)))?;
            let implicit = Strength::Implicit;
            let (l, r) = (left.expression.clone(), right.expression.clone());
            equal.push(self.apply("=", l, r, name.place)?);
            let l = self.coerce(left.expression, &ty, implicit, name.place)?;
            let r = self.coerce(right.expression, &ty, implicit, name.place)?;
            let (expression, origin) = match kind {
                JoinKind::Right => (r, right.origin),
                JoinKind::Full => (
                    Expression {
                        kind: ExpressionKind::Coalesce(vec![l, r]),
                        ty,
                    },
                    None,
                ),
                _ => (l, left.origin),
            };
            merged.push(ItemColumn {
                name: name.text.clone(),
                expression,
                origin,
                hidden: false,
            });
        }
        let on = match (equal.pop(), equal.is_empty()) {
            (None, _) => None,
            (Some(single), true) => Some(single),
            (Some(last), false) => {
                equal.push(last);
                Some(boolean(ExpressionKind::And(equal)))
            }
        };
        Ok((on, merged))
    }

    fn using_column(&self, name: &Name, items: &[Item], side: &str) -> Result<ItemColumn> {
        let mut found = items
            .iter()
            .filter(|item| item.bare)
            .flat_map(Item::visible)
            .filter(|column| column.name == name.text);
        match (found.next(), found.next()) {
            (Some(column), None) => Ok(column.clone()),
            (Some(_), Some(_)) => Err(Error::new(
                SqlState::AMBIGUOUS_COLUMN,
                format!(
                    "common column name \"{}\" appears more than once in {side} table",
                    name.text
                ),
            )),
            (None, _) => Err(Error::new(
                SqlState::UNDEFINED_COLUMN,
                format!(
                    "column \"{}\" specified in USING clause does not exist in {side} table",
                    name.text
                ),
            )),
        }
    }

    /// What a join brings in sight: its sides by their names, and its columns.
    fn joined_items(
        &self,
        left: Vec<Item>,
        right: Vec<Item>,
        merged: Vec<ItemColumn>,
        names: &[Name],
        alias: Option<&Alias>,
    ) -> Result<Vec<Item>> {
        if names.is_empty() && alias.is_none() {
            return Ok(left.into_iter().chain(right).collect());
        }
        let used = |column: &ItemColumn| names.iter().any(|name| name.text == column.name);
        let rest = left
            .iter()
            .chain(&right)
            .filter(|item| item.bare)
            .flat_map(Item::visible)
            .filter(|column| !used(column))
            .cloned();
        let mut join = Item {
            alias: alias.map_or(String::new(), |alias| alias.name.text.clone()),
            table: None,
            unaliased: false,
            relation: None,
            columns: merged.into_iter().chain(rest).collect(),
            named: alias.is_some(),
            bare: true,
            covered: false,
            lateral_only: false,
            lateral_allowed: true,
        };
        self.rename_columns(&mut join, alias)?;
        let hidden = left.into_iter().chain(right).map(|mut item| {
            item.bare = false;
            item.covered |= alias.is_some();
            item
        });
        // A join without a name has nothing left to find but its columns.
        let sides = hidden.filter(|item| item.named);
        Ok(std::iter::once(join).chain(sides).collect())
    }
}

fn duplicate_alias(alias: &str) -> Error {
    Error::new(
        SqlState::DUPLICATE_ALIAS,
        format!("table name \"{alias}\" specified more than once"),
    )
}

/// Both go by the same name, and not because of two schemas.
fn clashes(one: &Item, other: &Item) -> bool {
    let apart = match (&one.table, &other.table) {
        (Some(a), Some(b)) => {
            one.unaliased && other.unaliased && (a.namespace, a.id) != (b.namespace, b.id)
        }
        _ => false,
    };
    let covered = one.covered || other.covered;
    one.named && other.named && one.alias == other.alias && !apart && !covered
}

/// NATURAL: the names that both sides have.
fn natural_names(left: &[Item], right: &[Item], place: Place) -> Vec<Name> {
    let has = |items: &[Item], name: &str| {
        let mut bare = items.iter().filter(|item| item.bare);
        bare.any(|item| item.visible().any(|column| column.name == name))
    };
    let columns = left.iter().filter(|item| item.bare).flat_map(Item::visible);
    let common = columns.filter(|column| has(right, &column.name));
    common
        .map(|column| Name {
            text: column.name.clone(),
            place,
        })
        .collect()
}

/// The columns that a function in FROM yields.
fn row_columns(call: &Expression, name: &str, alias: Option<&Alias>) -> Vec<OutputColumn> {
    if let ExpressionKind::Call { function, .. } = &call.kind
        && let Returns::Columns(columns) = &function.result
    {
        let column = |(name, ty): &(String, Type)| OutputColumn {
            name: name.clone(),
            ty: ty.clone(),
            origin: None,
        };
        return columns.iter().map(column).collect();
    }
    // A single column goes by the alias of its relation.
    vec![OutputColumn {
        name: alias.map_or(name, |alias| &alias.name.text).to_owned(),
        ty: call.ty.clone(),
        origin: None,
    }]
}

/// What `pyql_to_records` is called with: the function that it stands for, the
/// json, and the columns' names, types and modifiers.
fn record_arguments(name: &str, json: Expression, columns: &[OutputColumn]) -> Vec<Expression> {
    let list = |element: Type, values: Vec<Value>| {
        let array = Array::one_dimensional(element.clone(), values);
        let ty = Type::Array(Box::new(element));
        Expression::constant(Value::Array(Arc::new(array)), ty)
    };
    let names = columns.iter().map(|c| Value::text(c.name.as_str()));
    let types = columns.iter().map(|c| Value::Int(c.ty.oid().into()));
    let modifiers = columns.iter().map(|c| Value::Int(c.ty.modifier().into()));
    vec![
        Expression::constant(Value::text(name), Type::Text),
        json,
        list(Type::Text, names.collect()),
        list(Type::Oid, types.collect()),
        list(Type::Int4, modifiers.collect()),
    ]
}

/// `unnest(a, b)` is `unnest(a), unnest(b)` side by side.
fn spread_unnest(expr: &Expr) -> Vec<Expr> {
    let Node::Call(call) = &expr.node else {
        return vec![expr.clone()];
    };
    let unnest = matches!(call.name.as_slice(), [name] if name.text == "unnest")
        || matches!(call.name.as_slice(), [schema, name]
            if schema.text == "pg_catalog" && name.text == "unnest");
    if !unnest || call.arguments.len() < 2 {
        return vec![expr.clone()];
    }
    let one = |argument: &Expr| Expr {
        place: expr.place,
        node: Node::Call(Box::new(crate::plan::syntax::Call {
            arguments: vec![argument.clone()],
            ..call.as_ref().clone()
        })),
    };
    call.arguments.iter().map(one).collect()
}
