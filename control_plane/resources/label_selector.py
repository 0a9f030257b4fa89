"""metav1.LabelSelector: which objects are meant, by their labels (pure)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from control_plane.resources.base import Model
from control_plane.resources.field import Items, LabelKey, Labels, LabelValue
from control_plane.resources.gateway_field import invalid


class LabelSelectorRequirement(Model):
    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: Items[LabelValue] = ()

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        if (self.operator in ("In", "NotIn")) != bool(self.values):
            raise invalid("values: required for In and NotIn, not allowed for Exists and DoesNotExist")
        return self

    def matches(self, labels: dict[str, str]) -> bool:
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case _:
                return self.key not in labels


class LabelSelector(Model):
    match_labels: Labels = Field(default_factory=dict)
    match_expressions: Items[LabelSelectorRequirement] = ()

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether labels satisfy all of it; an empty selector matches everything."""
        return self.match_labels.items() <= labels.items() and all(
            one.matches(labels) for one in self.match_expressions
        )
