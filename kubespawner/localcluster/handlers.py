"""What each verb does to the store: decoding, defaults, validation, admission, writing."""

from __future__ import annotations

from typing import Any

from kubespawner.localcluster import lifecycle, patch, schema
from kubespawner.localcluster.admission import admit, admit_update, check_namespace
from kubespawner.localcluster.defaults import fill_in
from kubespawner.localcluster.faults import Faults
from kubespawner.localcluster.listing import list_page
from kubespawner.localcluster.quotas import Quotas
from kubespawner.localcluster.resources import (
    ACCESS_REVIEWS,
    NAMESPACES,
    PODS,
    SERVICES,
    Resource,
)
from kubespawner.localcluster.routing import Call
from kubespawner.localcluster.statuses import (
    ApiError,
    Cause,
    already_exists,
    bad_request,
    conflict,
    invalid,
    invalid_value,
    method_not_allowed,
    modified,
    not_found,
    success,
)
from kubespawner.localcluster.store import Record, Store
from kubespawner.localcluster.validation import validate, validate_update

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH)

_DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"

# What the server assigned and a replacement need not repeat.
_CARRIED = {
    PODS: ("priority", "preemptionPolicy"),
    SERVICES: ("clusterIP", "clusterIPs"),
}

Outcome = tuple[int, Record | dict[str, Any]]


class Handlers:
    """The write verbs and GET of single objects.

    Args:
        store: the cluster's objects.
        quotas: refuse what is too much.
        faults: knows what RBAC would deny.
        field_validation: what happens to unknown fields where the request does not say:
            Strict (400), Warn or Ignore (dropped).
    """

    def __init__(
        self, store: Store, quotas: Quotas, faults: Faults, *, field_validation: str = "Strict"
    ):
        self._store = store
        self._quotas = quotas
        self._faults = faults
        self._field_validation = field_validation

    # Reading

    def get(self, call: Call) -> Outcome:
        resource = _resource(call)
        record = self._store.record(resource, call.namespace, call.name)
        if record is None:
            raise not_found(resource, call.name)
        return 200, record

    # Creating

    def create(self, call: Call, body: Any) -> Outcome:
        resource = _resource(call)
        if call.subresource == "binding":
            return self._bind(call, body)
        if call.subresource or call.name:
            raise method_not_allowed()
        if resource.namespaced and not call.namespace:
            raise bad_request("an empty namespace may not be set during creation")
        obj = self._decode(call, body)
        if resource is ACCESS_REVIEWS:
            return self._review(obj)
        meta = obj.setdefault("metadata", {})
        self._check_namespace_field(call, meta)
        if resource.namespaced:
            meta["namespace"] = call.namespace
            check_namespace(self._store, resource, call.namespace, meta.get("name", ""))
        obj = lifecycle.prepare(resource, obj)
        self._check(resource, obj)
        admit(self._store, resource, obj)
        if resource.namespaced:
            self._quotas.check(resource, obj)
        name = obj["metadata"].get("name", "")
        if self._store.record(resource, call.namespace, name):
            raise already_exists(resource, name)
        if _dry_run(call):
            return 201, obj
        return 201, self._store.add(resource, obj)

    def _decode(self, call: Call, body: Any, *, name: str = "") -> dict[str, Any]:
        """Check a body against its schema and return it without what the server drops."""
        resource = _resource(call)
        if not isinstance(body, dict):
            raise bad_request("the request body is not an object")
        for key, wanted in (("apiVersion", resource.api_version), ("kind", resource.kind)):
            if body.get(key, wanted) != wanted:
                raise bad_request(
                    f"the object provided is unrecognized (must be of type {resource.kind}): "
                    f"{key} is {body[key]!r}, expected {wanted!r}"
                )
        prefix = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
        try:
            decoded = schema.decode(body, resource.definition)
        except schema.DecodeError as e:
            raise bad_request(prefix + str(e)) from e
        strict = call.query.get("fieldValidation", self._field_validation) == "Strict"
        if decoded.unknown and strict:
            fields = ", ".join(f'unknown field "{path}"' for path in decoded.unknown)
            raise bad_request(f"{prefix}strict decoding error: {fields}")
        # A status may be partial: who reports it sends what it knows.
        missing = [cause for cause in decoded.missing if not cause.field.startswith("status.")]
        if missing:
            named = decoded.value.get("metadata", {}).get("name", name)
            raise invalid(resource.kind, resource.group, named, missing)
        return decoded.value

    def _check_namespace_field(self, call: Call, meta: dict[str, Any]) -> None:
        if meta.get("namespace") and meta["namespace"] != call.namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the "
                "request"
            )

    def _check(
        self, resource: Resource, obj: dict[str, Any], extra: tuple[Cause, ...] = ()
    ) -> None:
        causes = [*extra, *validate(resource, obj)]
        if causes:
            raise invalid(resource.kind, resource.group, obj["metadata"].get("name", ""), causes)

    def _review(self, review: dict[str, Any]) -> Outcome:
        """Answer a SelfSubjectAccessReview."""
        asked = review["spec"].get("resourceAttributes", {})
        plural = asked.get("resource", "")
        if asked.get("subresource"):
            plural = f"{plural}/{asked['subresource']}"
        denied = self._faults.denied(asked.get("verb", ""), plural, asked.get("namespace", ""))
        review["apiVersion"], review["kind"] = ACCESS_REVIEWS.api_version, ACCESS_REVIEWS.kind
        review.setdefault("metadata", {})["creationTimestamp"] = None
        review["status"] = {"allowed": not denied}
        return 201, review

    def _bind(self, call: Call, body: Any) -> Outcome:
        """Assign a pod to a node, as a scheduler does."""
        obj = self._store.get(PODS, call.namespace, call.name)
        if obj is None:
            raise not_found(PODS, call.name)
        node = body.get("target", {}).get("name") if isinstance(body, dict) else None
        if not node:
            cause = Cause("target.name", "FieldValueRequired", "Required value")
            raise invalid("Binding", "", call.name, [cause])
        if obj["metadata"].get("deletionTimestamp"):
            raise conflict(
                PODS, call.name, f"pod {call.name} is being deleted, cannot be assigned to a host"
            )
        if obj["spec"].get("nodeName"):
            raise conflict(
                PODS,
                call.name,
                f'pod {call.name} is already assigned to node "{obj["spec"]["nodeName"]}"',
            )
        obj["spec"]["nodeName"] = node
        conditions = obj["status"].setdefault("conditions", [])
        conditions[:] = [each for each in conditions if each["type"] != "PodScheduled"]
        conditions.append(
            {
                "type": "PodScheduled",
                "status": "True",
                "lastProbeTime": None,
                "lastTransitionTime": lifecycle.timestamp(),
            }
        )
        self._store.update(PODS, obj)
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return 201, {**status, "code": 201}

    # Changing

    def update(self, call: Call, body: Any) -> Outcome:
        resource = _resource(call)
        if not call.name or not _writable(resource, call.subresource):
            raise method_not_allowed()
        record = self._store.record(resource, call.namespace, call.name)
        obj = self._decode(call, body, name=call.name)
        meta = obj.setdefault("metadata", {})
        if meta.get("name", call.name) != call.name:
            raise bad_request(
                f"the name of the object ({meta['name']}) does not match the name on the URL "
                f"({call.name})"
            )
        meta["name"] = call.name
        self._check_namespace_field(call, meta)
        if record is None:
            raise not_found(resource, call.name)
        return self._write(call, record, obj)

    def patch(self, call: Call, body: Any, content_type: str) -> Outcome:
        resource = _resource(call)
        if not call.name or not _writable(resource, call.subresource):
            raise method_not_allowed()
        record = self._store.record(resource, call.namespace, call.name)
        if record is None:
            raise not_found(resource, call.name)
        try:
            patched = _patched(resource, record.copy(), body, content_type)
        except patch.PatchError as e:
            raise bad_request(str(e)) from e
        except patch.PatchNotApplicable as e:
            raise ApiError(
                422,
                "Invalid",
                f"the server rejected our request due to an error in our request: {e}",
            ) from e
        obj = self._decode(call, patched, name=call.name)
        if obj.get("metadata", {}).get("name") != call.name:
            cause = invalid_value(
                "metadata.name", obj.get("metadata", {}).get("name", ""), "field is immutable"
            )
            raise invalid(resource.kind, resource.group, call.name, [cause])
        uid = obj["metadata"].get("uid")
        if uid and uid != record.obj["metadata"]["uid"]:
            # Of a replacement this is a precondition, and its failure a conflict.
            cause = invalid_value("metadata.uid", uid, "field is immutable")
            raise invalid(resource.kind, resource.group, call.name, [cause])
        return self._write(call, record, obj)

    def _write(self, call: Call, record: Record, obj: dict[str, Any]) -> Outcome:
        """Replace ``record`` by ``obj`` as the endpoint allows."""
        resource = _resource(call)
        old = record.copy()
        meta = obj["metadata"]
        wanted = meta.get("resourceVersion")
        if wanted and wanted not in {"0", str(record.revision)}:
            raise modified(resource, call.name)
        if meta.get("uid") and meta["uid"] != old["metadata"]["uid"]:
            problem = (
                f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: "
                f"{old['metadata']['uid']}"
            )
            raise conflict(resource, call.name, problem)
        new = _combined(resource, call.subresource, old, obj)
        fill_in(resource, new)
        if call.subresource != "status":
            self._check(resource, new, tuple(validate_update(resource, old, new)))
            admit_update(self._store, resource, old, new)
        if _dry_run(call):
            return 200, new
        return 200, lifecycle.update(self._store, resource, new)

    # Deleting

    def delete(self, call: Call, body: Any) -> Outcome:
        resource = _resource(call)
        if call.subresource:
            raise method_not_allowed()
        options = _delete_options(call, body)
        if _dry_run(call) or options.get("dryRun"):
            return self.get(call)
        record = lifecycle.delete(self._store, resource, call.namespace, call.name, options)
        if resource.returns_deleted:
            return 200, record
        return 200, success(resource, call.name, record.obj["metadata"]["uid"])

    def delete_collection(self, call: Call, body: Any) -> Outcome:
        """Delete what the selectors select and answer with the list of it."""
        resource = _resource(call)
        if resource is NAMESPACES:
            raise method_not_allowed()
        options = _delete_options(call, body)
        page = list_page(self._store, resource, call.namespace, call.query)
        gone = [
            lifecycle.delete(self._store, resource, *record.key, options).obj
            for record in page.records
        ]
        return 200, {
            "kind": f"{resource.kind}List",
            "apiVersion": resource.api_version,
            "metadata": {"resourceVersion": str(self._store.revision)},
            "items": gone,
        }


def _resource(call: Call) -> Resource:
    assert call.resource is not None
    return call.resource


def _dry_run(call: Call) -> bool:
    return call.query.get("dryRun") == "All"


def _writable(resource: Resource, subresource: str) -> bool:
    if "update" not in resource.verbs:
        return False
    return not subresource or (
        subresource in {"status", "finalize"} and subresource in resource.subresources
    )


def _patched(resource: Resource, obj: dict[str, Any], body: Any, content_type: str) -> Any:
    if content_type == JSON_PATCH:
        return patch.json_patch(obj, body)
    if not isinstance(body, dict):
        raise patch.PatchError("the patch is not an object")
    if content_type == MERGE_PATCH:
        return patch.merge_patch(obj, body)
    return patch.strategic_merge(obj, body, schema.definition(resource.definition))


def _combined(
    resource: Resource, subresource: str, old: dict[str, Any], obj: dict[str, Any]
) -> dict[str, Any]:
    """Return what is stored: the server's metadata, and spec or status from ``obj``."""
    new = {**obj, "apiVersion": resource.api_version, "kind": resource.kind}
    new["metadata"] = {k: v for k, v in obj["metadata"].items() if k not in lifecycle.SYSTEM_FIELDS}
    for key in lifecycle.SYSTEM_FIELDS:
        if key in old["metadata"]:
            new["metadata"][key] = old["metadata"][key]
    if resource.namespaced:
        new["metadata"]["namespace"] = old["metadata"]["namespace"]
    if subresource == "status":
        new = {**old, "status": obj.get("status", {}), "metadata": new["metadata"]}
    elif subresource == "finalize":
        new = {**old, "spec": obj.get("spec", {})}
    elif resource.has_status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    if resource is NAMESPACES and subresource != "finalize":
        new["spec"] = old["spec"]
    for key in _CARRIED.get(resource, ()):
        if not new.get("spec", {}).get(key) and key in old["spec"]:
            new.setdefault("spec", {})[key] = old["spec"][key]
    if old["metadata"].get("deletionTimestamp"):
        # Finalizers may only be taken away from what is being deleted.
        before = old["metadata"].get("finalizers", [])
        kept = [each for each in new["metadata"].get("finalizers", []) if each in before]
        new["metadata"].pop("finalizers", None)
        if kept:
            new["metadata"]["finalizers"] = kept
    return new


def _delete_options(call: Call, body: Any) -> dict[str, Any]:
    """Return the options of a deletion: the body's, else the query's."""
    if isinstance(body, dict) and body:
        try:
            decoded = schema.decode(body, _DELETE_OPTIONS)
        except schema.DecodeError as e:
            raise bad_request(str(e)) from e
        return decoded.value
    options: dict[str, Any] = {}
    if "gracePeriodSeconds" in call.query:
        text = call.query["gracePeriodSeconds"]
        try:
            options["gracePeriodSeconds"] = int(text)
        except ValueError as e:
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from e
    if "propagationPolicy" in call.query:
        options["propagationPolicy"] = call.query["propagationPolicy"]
    return options
