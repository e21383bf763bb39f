//! Names and types: a syntax tree against a schema becomes a [`Plan`].
//!
//! PostgreSQL's rules decide what a name means, which function is called, what
//! a literal or parameter is, and which text an error has. Pure: the same text
//! against the same schema gives the same plan.

mod alter;
mod alter_constraint;
mod alter_identity;
mod call;
mod column;
mod comment;
mod composite;
mod compound;
mod constraint;
mod define;
mod drop;
mod expression;
mod from;
mod grouping;
mod grouping_sets;
mod index;
mod insert;
mod literal;
mod lock;
mod named;
mod naming;
mod operator;
mod ordered_set;
mod output;
mod query;
mod returning;
mod scope;
mod select;
mod sequence;
mod sequence_row;
mod set_call;
mod subquery;
mod table;
mod typename;
mod update;
mod utility;
mod window;

use std::collections::HashMap;
use std::sync::Arc;

use super::coerce::{self, Strength};
use super::context::Context;
use super::expression::{Expression, ExpressionKind};
use super::function::{Volatility, resolve};
use super::parse::{self, Parsed};
use super::query::{CommonTableId, OutputColumn, RelationId};
use super::statement::Statement as Planned;
use super::syntax::{Path, Place, Statement};
use super::{Plan, evaluate, visit};
use crate::catalog::schema::{Namespace, Schema, Table};
use crate::error::{Error, Result, SqlState};
use crate::types::Type;
use crate::types::id::TableId;
use crate::types::settings::Io;
use scope::{CommonEntry, Scope};

/// How deep bound expressions and queries may nest.
const MAX_DEPTH: usize = 1000;

/// How many expressions may be made by writing some of the statement's twice,
/// as BETWEEN does with its operand: nested ones double each time.
const MAX_COPIES: usize = 1_000_000;

/// What names are looked up in.
#[derive(Clone, Copy)]
pub struct Binding<'a> {
    /// The data cluster's schema.
    pub schema: &'a Arc<Schema>,
    /// The system's relations.
    pub system: &'a Arc<Schema>,
    pub context: &'a Context,
}

/// Plans one statement; `parameter_types` are those that the client gave.
pub fn plan(
    parsed: &Parsed,
    binding: &Binding<'_>,
    parameter_types: &[Option<Type>],
) -> Result<Plan> {
    let mut binder = Binder::new(binding, &parsed.text, parameter_types);
    let (statement, columns) = binder.statement(&parsed.statement)?;
    binder.finish(statement, columns)
}

struct Binder<'a> {
    binding: Binding<'a>,
    /// The statement's text, in which places count.
    text: &'a str,
    parameters: Vec<Option<Type>>,
    next_relation: u32,
    next_common: u32,
    next_given: u32,
    /// We stand inside a statement whose WITH writes.
    compound: bool,
    /// User tables named so far.
    tables: Vec<TableId>,
    system: bool,
    /// A query in it locks rows.
    locking: bool,
    /// One for each query around the point where we stand, outermost first.
    scopes: Vec<Scope>,
    /// The common tables in sight, innermost last.
    commons: Vec<CommonEntry>,
    depth: usize,
    /// Expressions made so far by [`Binder::copy_of`].
    copies: usize,
    /// The fields of columns that are records.
    records: HashMap<(RelationId, usize), composite::Fields>,
}

impl<'a> Binder<'a> {
    fn new(binding: &Binding<'a>, text: &'a str, parameters: &[Option<Type>]) -> Binder<'a> {
        Binder {
            binding: *binding,
            text,
            parameters: parameters
                .iter()
                .map(|ty| ty.clone().filter(|ty| *ty != Type::Unknown))
                .collect(),
            next_relation: 0,
            next_common: 0,
            next_given: 0,
            compound: false,
            tables: Vec::new(),
            system: false,
            locking: false,
            scopes: Vec::new(),
            commons: Vec::new(),
            depth: 0,
            copies: 0,
            records: HashMap::new(),
        }
    }

    fn statement(&mut self, statement: &Statement) -> Result<(Planned, Vec<OutputColumn>)> {
        // Common tables may write only at the top level.
        if !self.compound
            && let Some((with, main)) = compound::writing_with(statement)
        {
            return self.compound(with, &main);
        }
        match statement {
            Statement::Query(query) => {
                let query = self.query(query, true)?;
                let columns = query.columns.clone();
                Ok((Planned::Query(Box::new(query)), columns))
            }
            Statement::Insert(insert) => self.insert(insert),
            Statement::Update(update) => self.update(update),
            Statement::Delete(delete) => self.delete(delete),
            Statement::Truncate {
                tables,
                restart_identity,
                cascade,
            } => self.truncate(tables, *restart_identity, *cascade),
            Statement::Copy(copy) => self.copy(copy),
            Statement::Explain {
                statement,
                analyze,
                format,
            } => self.explain(statement, *analyze, *format),
            Statement::Lock {
                tables,
                exclusive,
                no_wait,
            } => self.lock(tables, *exclusive, *no_wait),
            Statement::Transaction(statement) => {
                Ok((Planned::Transaction(statement.clone()), Vec::new()))
            }
            Statement::Session(statement) => self.session(statement),
            Statement::Prepare { name, types, text } => self.prepare(name, types, text),
            Statement::Admin(statement) => self.admin(statement),
            Statement::Maintenance { tag, tables } => self.maintenance(tag, tables),
            Statement::Nothing { tag } => Ok((Planned::Nothing { tag, notice: None }, Vec::new())),
            Statement::Empty => Ok((Planned::Empty, Vec::new())),
            _ => self.define(statement),
        }
    }

    /// Checks what only the whole statement can tell.
    fn finish(self, statement: Planned, columns: Vec<OutputColumn>) -> Result<Plan> {
        let mut parameters = Vec::with_capacity(self.parameters.len());
        for (index, ty) in self.parameters.into_iter().enumerate() {
            parameters.push(ty.ok_or_else(|| {
                Error::new(
                    SqlState::INDETERMINATE_DATATYPE,
                    format!("could not determine data type of parameter ${}", index + 1),
                )
            })?);
        }
        Ok(Plan {
            statement,
            parameters,
            columns,
            tables: self.tables,
            system: self.system,
            locking: self.locking,
            schema_version: self.binding.schema.version,
            text: Arc::from(""),
            derived: super::Derived::default(),
        })
    }

    fn io(&self) -> Io<'a> {
        self.binding.context.io()
    }

    fn position(&self, place: Place) -> Option<u32> {
        Some(parse::position(self.text, place))
    }

    /// An error that points at a place of the statement.
    fn error(&self, state: SqlState, place: Place, message: impl Into<String>) -> Error {
        Error::new(state, message).at(self.position(place))
    }

    fn unsupported<T>(&self, construct: &str, place: Place) -> Result<T> {
        Err(Error::unsupported(construct).at(self.position(place)))
    }

    fn relation(&mut self) -> RelationId {
        let relation = RelationId(self.next_relation);
        self.next_relation += 1;
        relation
    }

    fn common(&mut self) -> CommonTableId {
        let common = CommonTableId(self.next_common);
        self.next_common += 1;
        common
    }

    fn given(&mut self) -> TableId {
        let table = super::given::id(self.next_given);
        self.next_given += 1;
        table
    }

    /// Runs `inner` one level deeper; the stack is bounded.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return Err(Error::new(
                SqlState::STATEMENT_TOO_COMPLEX,
                "stack depth limit exceeded",
            ));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// An expression once more, for what PostgreSQL's grammar spells out too.
    fn copy_of(&mut self, expression: &Expression) -> Result<Expression> {
        self.copies = self.copies.saturating_add(visit::size(expression));
        if self.copies > MAX_COPIES {
            return Err(Error::new(
                SqlState::STATEMENT_TOO_COMPLEX,
                "stack depth limit exceeded",
            ));
        }
        Ok(expression.clone())
    }

    /// The table a path names, system relations first; `None` if there is none.
    fn find_table(&self, path: &Path) -> Result<Option<&'a Arc<Table>>> {
        let Some((name, qualifiers)) = path.split_last() else {
            return Ok(None);
        };
        let namespaces: &[Namespace] = match qualifiers {
            [] => &[Namespace::PgCatalog, Namespace::Public],
            _ => match self.namespace(qualifiers)? {
                Some(Namespace::Public) => &[Namespace::Public],
                Some(Namespace::PgCatalog) => &[Namespace::PgCatalog],
                Some(Namespace::InformationSchema) => &[Namespace::InformationSchema],
                Some(Namespace::Pyql) => &[Namespace::Pyql],
                None => &[],
            },
        };
        let found = namespaces.iter().find_map(|namespace| {
            let schema = match namespace {
                Namespace::Public => self.binding.schema,
                _ => self.binding.system,
            };
            schema.table_named(*namespace, &name.text)
        });
        Ok(found)
    }

    /// The namespace that `schema` or `database.schema` names.
    fn namespace(&self, qualifiers: &[super::syntax::Name]) -> Result<Option<Namespace>> {
        if let [database, schema] = qualifiers
            && database.text != *self.binding.context.database
        {
            return Err(self.error(
                SqlState::FEATURE_NOT_SUPPORTED,
                database.place,
                format!(
                    "cross-database references are not implemented: \"{}.{}\"",
                    database.text, schema.text
                ),
            ));
        }
        let Some(schema) = qualifiers.last().filter(|_| qualifiers.len() <= 2) else {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "improper qualified name (too many dotted names)",
            ));
        };
        Ok(match schema.text.as_str() {
            "public" => Some(Namespace::Public),
            "pg_catalog" => Some(Namespace::PgCatalog),
            "information_schema" => Some(Namespace::InformationSchema),
            "pyql" => Some(Namespace::Pyql),
            _ => None,
        })
    }

    /// The table a path names; notes that the statement uses it.
    fn table(&mut self, path: &Path) -> Result<Arc<Table>> {
        let Some(table) = self.find_table(path)? else {
            return Err(self.unknown_relation(path));
        };
        self.uses(table);
        Ok(Arc::clone(table))
    }

    fn unknown_relation(&self, path: &Path) -> Error {
        let name = dotted(path);
        let place = path.first().map_or(Place(0), |name| name.place);
        self.error(
            SqlState::UNDEFINED_TABLE,
            place,
            format!("relation \"{name}\" does not exist"),
        )
    }

    fn uses(&mut self, table: &Table) {
        if table.namespace != Namespace::Public {
            self.system = true;
        } else if !self.tables.contains(&table.id) {
            self.tables.push(table.id);
        }
    }

    /// A table that the statement writes: no system relation.
    fn written_table(&mut self, path: &Path) -> Result<Arc<Table>> {
        let table = self.table(path)?;
        if table.namespace != Namespace::Public {
            return Err(Error::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("permission denied for table {}", table.name),
            ));
        }
        Ok(table)
    }

    /// Makes an expression of this type, settling a parameter that has none yet.
    fn coerce(
        &mut self,
        expression: Expression,
        to: &Type,
        strength: Strength,
        place: Place,
    ) -> Result<Expression> {
        let expression = self.settle(expression, to, place)?;
        if let Some(constant) = self.named_object(&expression, to, place)? {
            return Ok(constant);
        }
        let coerced = coerce::coerce(expression, to, strength, self.io());
        coerced
            .map(|expression| self.fold_cast(expression))
            .map_err(|error| error.at(self.position(place)))
    }

    /// A cast of a constant becomes a constant, so that it is converted once.
    fn fold_cast(&self, expression: Expression) -> Expression {
        match &expression.kind {
            ExpressionKind::Cast { operand, .. }
                if matches!(operand.kind, ExpressionKind::Constant(_)) =>
            {
                evaluate::fold(expression, Volatility::Immutable, self.binding.context)
            }
            _ => expression,
        }
    }

    /// Gives a parameter of unknown type the type that its surroundings want.
    fn settle(
        &mut self,
        mut expression: Expression,
        to: &Type,
        place: Place,
    ) -> Result<Expression> {
        let ExpressionKind::Parameter(index) = expression.kind else {
            return Ok(expression);
        };
        if expression.ty != Type::Unknown || *to == Type::Unknown {
            return Ok(expression);
        }
        let wanted = to.without_modifier();
        match &self.parameters[index] {
            None => self.parameters[index] = Some(wanted.clone()),
            Some(known) if *known == wanted => {}
            Some(known) => {
                return Err(self
                    .error(
                        SqlState(*b"42P08"),
                        place,
                        format!("inconsistent types deduced for parameter ${}", index + 1),
                    )
                    .detail(format!("{known} versus {wanted}")));
            }
        }
        expression.ty = wanted;
        Ok(expression)
    }

    /// A value for a place that wants text when nothing else is known.
    fn resolve_unknown(&mut self, expression: Expression, place: Place) -> Result<Expression> {
        if expression.ty == Type::Unknown {
            return self.coerce(expression, &Type::Text, Strength::Implicit, place);
        }
        Ok(expression)
    }

    /// A call of a function of ours by name.
    fn builtin(
        &mut self,
        name: &str,
        arguments: Vec<Expression>,
        place: Place,
    ) -> Result<Expression> {
        let types: Vec<Type> = arguments.iter().map(|a| a.ty.clone()).collect();
        let resolved = resolve::function(name, &types).map_err(|e| e.at(self.position(place)))?;
        self.call(resolved, arguments, place)
    }

    /// The call with its arguments made what the function takes.
    fn call(
        &mut self,
        resolved: resolve::Resolved,
        arguments: Vec<Expression>,
        place: Place,
    ) -> Result<Expression> {
        let places = vec![place; arguments.len()];
        self.call_at(resolved, arguments, &places)
    }

    /// The same, with where each argument stands.
    fn call_at(
        &mut self,
        resolved: resolve::Resolved,
        arguments: Vec<Expression>,
        places: &[Place],
    ) -> Result<Expression> {
        let arguments = self.call_arguments(&resolved.arguments, arguments, places)?;
        let arguments = call::padded_for(&resolved.result, arguments);
        self.comparable_rows(resolved.function, &arguments, places)?;
        let ty = self.with_fields(resolved.function, &arguments, resolved.result);
        Ok(Expression {
            kind: ExpressionKind::Call {
                function: resolved.function,
                arguments,
            },
            ty,
        })
    }

    fn call_arguments(
        &mut self,
        types: &[Type],
        arguments: Vec<Expression>,
        places: &[Place],
    ) -> Result<Vec<Expression>> {
        let pairs = arguments.into_iter().zip(types).zip(places);
        pairs
            .map(|((argument, ty), place)| self.coerce(argument, ty, Strength::Implicit, *place))
            .collect()
    }
}

/// `a.b.c` as the client wrote it.
fn dotted(path: &Path) -> String {
    let names: Vec<&str> = path.iter().map(|name| name.text.as_str()).collect();
    names.join(".")
}

/// A stored expression over a table's own columns: a check, an index key.
pub fn table_expression(
    text: &str,
    table: &Arc<Table>,
    binding: &Binding<'_>,
) -> Result<(Expression, RelationId)> {
    let syntax = parse::parse_expression(text)?;
    let mut binder = Binder::new(binding, text, &[]);
    let relation = binder.relation();
    binder.scopes.push(Scope {
        items: vec![scope::Item::table(table, relation, None)],
        relations: vec![relation],
        clause: scope::Clause::Check,
        ..Scope::default()
    });
    Ok((binder.expression(&syntax)?, relation))
}

/// An argument of EXECUTE: an expression without columns, as a parameter of a type.
pub fn argument(text: &str, ty: &Type, binding: &Binding<'_>) -> Result<Expression> {
    let syntax = parse::parse_expression(text)?;
    let mut binder = Binder::new(binding, text, &[]);
    binder.scopes.push(Scope {
        clause: scope::Clause::Values,
        ..Scope::default()
    });
    let value = binder.expression(&syntax)?;
    binder.coerce(value, ty, Strength::Assignment, Place(0))
}

#[cfg(test)]
mod tests;
