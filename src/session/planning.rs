//! From a statement's text to its plan, as this session sees the schema.

use std::sync::Arc;
use std::time::Duration;

use super::Session;
use super::plans::Key;
use crate::catalog::Cluster;
use crate::catalog::schema::Schema;
use crate::error::{Error, Result, SqlState};
use crate::plan::Plan;
use crate::plan::bind::{self, Binding};
use crate::plan::context::Context;
use crate::plan::evaluate::cast::prints_names;
use crate::plan::parse;
use crate::plan::statement::Statement;
use crate::types::Type;

impl Session {
    /// Splits a simple-query string into its statements, each with its text.
    pub fn split(&self, sql: &str) -> Result<Vec<String>> {
        Ok(parse::parse(sql)?
            .into_iter()
            .map(|parsed| parsed.text)
            .collect())
    }

    /// Plans one statement; `types` are the parameter types the client gave.
    pub fn plan(&mut self, sql: &str, types: &[Option<Type>]) -> Result<Arc<Plan>> {
        let schema = self.schema()?;
        let key = Key::of(sql, types);
        if let Some(plan) = self.plans.get(&key, schema.version)
            && !self.block.changes_schema()
        {
            return Ok(plan.clone());
        }
        let mut parsed = parse::parse(sql)?;
        let plan = match (parsed.pop(), parsed.is_empty()) {
            (None, _) => Plan::empty(),
            (Some(one), true) => {
                let context = self.context(&schema);
                let binding = Binding {
                    schema: &schema,
                    system: &context.system,
                    context: &context,
                };
                // Positions count from the start of what the client sent.
                let start = sql.find(one.text.as_str()).unwrap_or(0);
                let mut plan = bind::plan(&one, &binding, types)
                    .map_err(|error| error.behind(&sql[..start]))?;
                plan.text = Arc::from(sql);
                plan
            }
            _ => {
                let message = "cannot insert multiple commands into a prepared statement";
                return Err(Error::new(SqlState::SYNTAX_ERROR, message));
            }
        };
        let plan = Arc::new(plan);
        let keep = !self.block.changes_schema() && !matches!(plan.statement, Statement::Schema(_));
        if keep {
            self.plans.keep(key, plan.clone());
        }
        Ok(plan)
    }

    /// The schema that statements are planned against now.
    pub fn schema(&self) -> Result<Arc<Schema>> {
        match self.block.schema() {
            Some(schema) => Ok(schema),
            None => Ok(self.cluster.definition()?.schema.clone()),
        }
    }

    /// The data cluster's definition.
    pub fn definition(&self) -> Result<Arc<Cluster>> {
        self.cluster.definition()
    }

    /// What knows the names that values of these types hold as numbers, if there are such.
    pub fn naming(
        &mut self,
        types: &mut (dyn Iterator<Item = &Type> + '_),
    ) -> Result<Option<Arc<Context>>> {
        let mut types = types;
        if !Iterator::any(&mut types, prints_names) {
            return Ok(None);
        }
        let schema = self.schema()?;
        Ok(Some(self.context(&schema)))
    }

    /// The schema has not moved since this plan was made; else plan again.
    pub fn is_current(&self, plan: &Plan) -> bool {
        self.schema()
            .is_ok_and(|schema| schema.version == plan.schema_version)
    }

    /// A plan that the schema has left behind, made anew.
    pub(super) async fn replan(&mut self, plan: &Arc<Plan>) -> Result<Arc<Plan>> {
        // The node may not have applied the change that the replica has.
        self.dispatch
            .runtime()
            .sleep(Duration::from_millis(1))
            .await;
        let types: Vec<Option<Type>> = plan.parameters.iter().cloned().map(Some).collect();
        let new = self.plan(&plan.text.clone(), &types)?;
        let same = new.columns.len() == plan.columns.len()
            && new
                .columns
                .iter()
                .zip(&plan.columns)
                .all(|(a, b)| a.ty == b.ty && a.name == b.name);
        match same {
            true => Ok(new),
            false => Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "cached plan must not change result type",
            )),
        }
    }
}
