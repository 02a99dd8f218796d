//! The schema, as documents are checked against it: read once from its definition.

use std::collections::{HashMap, HashSet};

use async_graphql::{
    Positioned, Value,
    parser::{
        parse_schema,
        types::{
            BaseType, ConstDirective, DirectiveLocation, InputValueDefinition, OperationType, Type,
            TypeKind, TypeSystemDefinition,
        },
    },
};

use super::ast::{Written, WrittenBase};

/// What every schema has and none says.
const BUILT_IN: &str = r#"
scalar Int scalar Float scalar String scalar Boolean scalar ID
directive @include(if: Boolean!) on FIELD | FRAGMENT_SPREAD | INLINE_FRAGMENT
directive @skip(if: Boolean!) on FIELD | FRAGMENT_SPREAD | INLINE_FRAGMENT
directive @deprecated(reason: String = "") on FIELD_DEFINITION | ARGUMENT_DEFINITION | INPUT_FIELD_DEFINITION | ENUM_VALUE
directive @specifiedBy(url: String!) on SCALAR
directive @oneOf on INPUT_OBJECT
type __Schema {
  description: String types: [__Type!]! queryType: __Type! mutationType: __Type
  subscriptionType: __Type directives: [__Directive!]!
}
type __Type {
  kind: __TypeKind! name: String description: String specifiedByURL: String
  fields(includeDeprecated: Boolean = false): [__Field!] interfaces: [__Type!]
  possibleTypes: [__Type!] enumValues(includeDeprecated: Boolean = false): [__EnumValue!]
  inputFields(includeDeprecated: Boolean = false): [__InputValue!] ofType: __Type isOneOf: Boolean
}
type __Field {
  name: String! description: String args(includeDeprecated: Boolean = false): [__InputValue!]!
  type: __Type! isDeprecated: Boolean! deprecationReason: String
}
type __InputValue {
  name: String! description: String type: __Type! defaultValue: String isDeprecated: Boolean!
  deprecationReason: String
}
type __EnumValue {
  name: String! description: String isDeprecated: Boolean! deprecationReason: String
}
type __Directive {
  name: String! description: String isRepeatable: Boolean! locations: [__DirectiveLocation!]!
  args(includeDeprecated: Boolean = false): [__InputValue!]!
}
enum __TypeKind { SCALAR OBJECT INTERFACE UNION ENUM INPUT_OBJECT LIST NON_NULL }
enum __DirectiveLocation {
  QUERY MUTATION SUBSCRIPTION FIELD FRAGMENT_DEFINITION FRAGMENT_SPREAD INLINE_FRAGMENT
  VARIABLE_DEFINITION SCHEMA SCALAR OBJECT FIELD_DEFINITION ARGUMENT_DEFINITION INTERFACE UNION
  ENUM ENUM_VALUE INPUT_OBJECT INPUT_FIELD_DEFINITION
}
type __Roots { __schema: __Schema! __type(name: String!): __Type __typename: String! }
"#;

/// A type of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TypeId(u32);

/// A type as fields, arguments and variables have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Of {
    pub(super) base: Base,
    pub(super) nullable: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Base {
    Named(TypeId),
    List(Box<Of>),
}

impl Of {
    /// The type inside all lists.
    pub(super) fn named(&self) -> TypeId {
        match &self.base {
            Base::Named(id) => *id,
            Base::List(of) => of.named(),
        }
    }

    /// Whether a value of this type may stand where the other one is wanted.
    pub(super) fn fits(&self, wanted: &Self) -> bool {
        (!self.nullable || wanted.nullable)
            && match (&self.base, &wanted.base) {
                (Base::Named(own), Base::Named(wanted)) => own == wanted,
                (Base::List(own), Base::List(wanted)) => own.fits(wanted),
                _ => false,
            }
    }
}

/// What takes a value: an argument, or a field of an input object.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) of: Of,
    pub(super) default: Option<Value>,
}

impl Input {
    pub(super) fn is_required(&self) -> bool {
        !self.of.nullable && self.default.is_none()
    }
}

#[derive(Debug)]
pub(super) struct OutField {
    pub(super) of: Of,
    pub(super) arguments: Vec<Input>,
}

#[derive(Debug)]
pub(super) struct InputObject {
    pub(super) fields: Vec<Input>,
    /// Exactly one field is given.
    pub(super) one_of: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Int,
    Float,
    String,
    Boolean,
    Id,
    /// What it takes is its own to say.
    Other,
}

impl Scalar {
    fn named(name: &str) -> Self {
        match name {
            "Int" => Self::Int,
            "Float" => Self::Float,
            "String" => Self::String,
            "Boolean" => Self::Boolean,
            "ID" => Self::Id,
            _ => Self::Other,
        }
    }
}

#[derive(Debug)]
pub(super) enum Kind {
    Scalar(Scalar),
    Enum(HashSet<String>),
    Input(InputObject),
    Object(HashMap<String, OutField>),
    Interface(HashMap<String, OutField>),
    Union,
}

#[derive(Debug)]
struct TypeDef {
    name: String,
    kind: Kind,
    /// The objects that it can be, in order; of composite types only.
    objects: Vec<TypeId>,
}

#[derive(Debug)]
pub(super) struct DirectiveDef {
    pub(super) arguments: Vec<Input>,
    pub(super) places: Vec<DirectiveLocation>,
}

/// All types and directives of a schema.
#[derive(Debug)]
pub(crate) struct Types {
    types: Vec<TypeDef>,
    ids: HashMap<String, TypeId>,
    roots: [Option<TypeId>; 3],
    /// Has the fields that need no definition.
    meta: TypeId,
    pub(super) directives: HashMap<String, DirectiveDef>,
}

impl Types {
    /// Reads the definition of a schema, which is our own and therefore right.
    pub(crate) fn new(sdl: &str) -> Self {
        let read = |sdl| parse_schema(sdl).expect("a schema can be read again").definitions;
        let own = read(sdl);
        let mut definitions = read(BUILT_IN);
        // Who names what is built in means the same.
        let known: HashSet<_> = own.iter().filter_map(name_of).collect();
        definitions.retain(|known_here| name_of(known_here).is_none_or(|it| !known.contains(&it)));
        definitions.extend(own);
        let ids: HashMap<String, TypeId> = definitions
            .iter()
            .filter_map(type_name)
            .enumerate()
            .map(|(at, name)| (name, TypeId(at as u32)))
            .collect();
        let reader = Reader { ids: &ids };
        let mut roots = ["Query", "Mutation", "Subscription"].map(|name| ids.get(name).copied());
        let (mut types, mut directives, mut members) = (Vec::new(), HashMap::new(), Vec::new());
        for definition in definitions {
            match definition {
                TypeSystemDefinition::Type(definition) => {
                    let definition = definition.node;
                    let id = TypeId(types.len() as u32);
                    let one_of = has(&definition.directives, "oneOf");
                    let name = definition.name.node.to_string();
                    let scalar = Scalar::named(&name);
                    let kind = reader.kind(definition.kind, (id, scalar), one_of, &mut members);
                    types.push(TypeDef { name, kind, objects: Vec::new() });
                }
                TypeSystemDefinition::Directive(definition) => {
                    let definition = definition.node;
                    let of = DirectiveDef {
                        arguments: reader.inputs(definition.arguments),
                        places: definition.locations.into_iter().map(|at| at.node).collect(),
                    };
                    directives.insert(definition.name.node.to_string(), of);
                }
                TypeSystemDefinition::Schema(definition) => {
                    let named = [
                        definition.node.query,
                        definition.node.mutation,
                        definition.node.subscription,
                    ];
                    for (root, name) in roots.iter_mut().zip(named) {
                        if let Some(name) = name {
                            *root = ids.get(name.node.as_str()).copied();
                        }
                    }
                }
            }
        }
        for (parent, object) in members {
            types[parent.0 as usize].objects.push(object);
        }
        for of in &mut types {
            of.objects.sort_unstable();
            of.objects.dedup();
        }
        let meta = ids["__Roots"];
        Self { types, ids, roots, meta, directives }
    }

    /// The type with this name; not the one that nobody can name.
    pub(super) fn find(&self, name: &str) -> Option<TypeId> {
        self.ids.get(name).copied().filter(|id| *id != self.meta)
    }

    pub(super) fn root(&self, kind: OperationType) -> Option<TypeId> {
        self.root_at(match kind {
            OperationType::Query => 0,
            OperationType::Mutation => 1,
            OperationType::Subscription => 2,
        })
    }

    /// The root of queries, of mutations or of subscriptions.
    pub(super) fn root_at(&self, at: usize) -> Option<TypeId> {
        self.roots.get(at).copied().flatten()
    }

    /// Every type that can be named.
    pub(super) fn all(&self) -> impl Iterator<Item = TypeId> + use<> {
        let meta = self.meta;
        (0..self.types.len() as u32).map(TypeId).filter(move |id| *id != meta)
    }

    /// Whether an object implements an interface or is a member of a union.
    pub(super) fn is_kind_of(&self, object: TypeId, of: TypeId) -> bool {
        object != of && self.is_object(object) && self.def(of).objects.contains(&object)
    }

    fn def(&self, id: TypeId) -> &TypeDef {
        &self.types[id.0 as usize]
    }

    pub(super) fn kind(&self, id: TypeId) -> &Kind {
        &self.def(id).kind
    }

    pub(super) fn name(&self, id: TypeId) -> &str {
        &self.def(id).name
    }

    pub(super) fn is_composite(&self, id: TypeId) -> bool {
        matches!(self.kind(id), Kind::Object(_) | Kind::Interface(_) | Kind::Union)
    }

    pub(super) fn is_object(&self, id: TypeId) -> bool {
        matches!(self.kind(id), Kind::Object(_))
    }

    pub(super) fn is_input(&self, id: TypeId) -> bool {
        matches!(self.kind(id), Kind::Scalar(_) | Kind::Enum(_) | Kind::Input(_))
    }

    /// The field of a composite type, those that need no definition among them.
    pub(super) fn field(&self, parent: TypeId, name: &str) -> Option<&OutField> {
        if name.starts_with("__") {
            let Kind::Object(meta) = self.kind(self.meta) else { return None };
            let is_here = name == "__typename" || Some(parent) == self.roots[0];
            return if is_here && self.is_composite(parent) { meta.get(name) } else { None };
        }
        match self.kind(parent) {
            Kind::Object(fields) | Kind::Interface(fields) => fields.get(name),
            _ => None,
        }
    }

    /// Whether something can be both.
    pub(super) fn overlap(&self, one: TypeId, other: TypeId) -> bool {
        let (one, other) = (&self.def(one).objects, &self.def(other).objects);
        let (few, many) = if one.len() < other.len() { (one, other) } else { (other, one) };
        few.iter().any(|id| many.binary_search(id).is_ok())
    }

    /// A type that a document names; none if nothing has that name.
    pub(super) fn resolve(&self, written: &Written<'_>) -> Option<Of> {
        let base = match &written.base {
            WrittenBase::Named(name) => Base::Named(self.find(name.text)?),
            WrittenBase::List(of) => Base::List(Box::new(self.resolve(of)?)),
        };
        Some(Of { base, nullable: written.nullable })
    }

    /// A type as documents write it.
    pub(super) fn shown(&self, of: &Of) -> String {
        let base = match &of.base {
            Base::Named(id) => self.name(*id).to_owned(),
            Base::List(of) => format!("[{}]", self.shown(of)),
        };
        if of.nullable { base } else { base + "!" }
    }
}

fn has(directives: &[Positioned<ConstDirective>], name: &str) -> bool {
    directives.iter().any(|directive| directive.node.name.node == name)
}

/// A type's or directive's name, so that the two cannot be taken for each other.
fn name_of(definition: &TypeSystemDefinition) -> Option<(bool, String)> {
    match definition {
        TypeSystemDefinition::Type(of) => Some((true, of.node.name.node.to_string())),
        TypeSystemDefinition::Directive(of) => Some((false, of.node.name.node.to_string())),
        TypeSystemDefinition::Schema(_) => None,
    }
}

fn type_name(definition: &TypeSystemDefinition) -> Option<String> {
    name_of(definition).filter(|(is_type, _)| *is_type).map(|(_, name)| name)
}

struct Reader<'a> {
    ids: &'a HashMap<String, TypeId>,
}

impl Reader<'_> {
    /// The kind of a type; `members` collects which objects a type can be.
    fn kind(
        &self,
        kind: TypeKind,
        (id, scalar): (TypeId, Scalar),
        one_of: bool,
        members: &mut Vec<(TypeId, TypeId)>,
    ) -> Kind {
        let fields = |fields: Vec<Positioned<async_graphql::parser::types::FieldDefinition>>| {
            let each = fields.into_iter().map(|field| {
                let field = field.node;
                let arguments = self.inputs(field.arguments);
                (field.name.node.to_string(), OutField { of: self.of(&field.ty.node), arguments })
            });
            each.collect::<HashMap<_, _>>()
        };
        match kind {
            TypeKind::Scalar => Kind::Scalar(scalar),
            TypeKind::Enum(of) => {
                let values = of.values.into_iter();
                Kind::Enum(values.map(|value| value.node.value.node.to_string()).collect())
            }
            TypeKind::InputObject(of) => {
                Kind::Input(InputObject { fields: self.inputs(of.fields), one_of })
            }
            TypeKind::Object(of) => {
                members.push((id, id));
                let implemented = of.implements.iter().map(|name| (self.id(&name.node), id));
                members.extend(implemented);
                Kind::Object(fields(of.fields))
            }
            TypeKind::Interface(of) => Kind::Interface(fields(of.fields)),
            TypeKind::Union(of) => {
                members.extend(of.members.iter().map(|name| (id, self.id(&name.node))));
                Kind::Union
            }
        }
    }

    fn id(&self, name: &str) -> TypeId {
        *self.ids.get(name).expect("a schema names no type that it has not")
    }

    fn of(&self, of: &Type) -> Of {
        let base = match &of.base {
            BaseType::Named(name) => Base::Named(self.id(name)),
            BaseType::List(of) => Base::List(Box::new(self.of(of))),
        };
        Of { base, nullable: of.nullable }
    }

    fn inputs(&self, inputs: Vec<Positioned<InputValueDefinition>>) -> Vec<Input> {
        let each = inputs.into_iter().map(|input| {
            let input = input.node;
            Input {
                name: input.name.node.to_string(),
                of: self.of(&input.ty.node),
                default: input.default_value.map(|value| value.node),
            }
        });
        each.collect()
    }
}
