"""Labels by which a Job's Pods are found, made when the Job's uid is known (pure).

As Kubernetes' `generateSelector`: two Jobs of one name, one after the other, never share Pods.
"""

from control_plane.resources.manifest import Manifest, metadata, section

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"


def with_selector(job: Manifest) -> Manifest:
    """A Job that has its uid, with its selector and the labels of its template; `manualSelector` keeps it."""
    spec = section(job, "spec")
    if spec.get("manualSelector") is True:
        return job
    meta, template = metadata(job), section(spec, "template")
    uid, name = meta["uid"], meta["name"]
    made = {CONTROLLER_UID: uid, "controller-uid": uid, JOB_NAME: name, "job-name": name}
    given = section(template, "metadata")
    labelled = {**template, "metadata": {**given, "labels": {**section(given, "labels"), **made}}}
    selector = section(spec, "selector")
    matched = {**section(selector, "matchLabels"), CONTROLLER_UID: uid}
    changed = {**spec, "selector": {**selector, "matchLabels": matched}, "template": labelled}
    return {**job, "spec": changed}
