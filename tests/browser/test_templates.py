"""Pages of deployments that bring their own template."""

from __future__ import annotations

import pytest

from ._pages import pod_of, start

# As deployments write them: the documented variables and field names, plain HTML.
FORM = """
<p id="mine">{{ profile_list | length }} profiles; last: {{ user_options | tojson }}</p>
{% for profile in profile_list %}
<label><input type="radio" name="profile" value="{{ profile.slug }}"
  {% if profile.default %}checked{% endif %}>{{ profile.display_name }} {{ profile.badge }}</label>
{% for key, option in (profile.profile_options or {}).items() %}
<label>{{ option.display_name }}
<select name="profile-option-{{ profile.slug }}--{{ key }}">
{% for name, choice in option.choices.items() %}
<option value="{{ name }}">{{ choice.display_name }}</option>
{% endfor %}
</select></label>
{% endfor %}
{% endfor %}
"""
CONFIG = """
c.JupyterHub.cleanup_servers = False
c.KubeSpawner.storage_pvc_ensure = False
c.KubeSpawner.volumes = {}
c.KubeSpawner.volume_mounts = {}
c.KubeSpawner.cmd = ["python3", "-m", "http.server", "--bind", "0.0.0.0", "8888"]
c.KubeSpawner.args = []
c.KubeSpawner.profile_list[1]["badge"] = "popular"
"""


@pytest.mark.parametrize("kind", ["literal", "directory"])
def test_a_template_of_ones_own(visit, hubs, tmp_path, kind):
    if kind == "literal":
        setting = f"c.KubeSpawner.profile_form_template = {FORM!r}\n"
    else:
        (tmp_path / "form.html").write_text(FORM)
        setting = f"c.KubeSpawner.additional_profile_form_template_paths = [{str(tmp_path)!r}]\n"
    page = visit("somebody", hub=hubs(kind, CONFIG + setting))
    assert page.locator("#mine").inner_text() == "2 profiles; last: {}"
    page.get_by_label("Course popular").check()
    page.get_by_label("Size").select_option("2 processors, 2 GB")
    assert pod_of(hubs, start(page))["memory"] == str(2 * 2**30)


def test_a_style_of_ones_own(visit, hubs, tmp_path):
    (tmp_path / "style.css").write_text(".profile { border: 7px solid green; }")
    setting = f"c.KubeSpawner.additional_profile_form_template_paths = [{str(tmp_path)!r}]\n"
    page = visit("somebody", hub=hubs("style", CONFIG + setting))
    width = page.locator(".profile").first.evaluate("p => getComputedStyle(p).borderTopWidth")
    assert width == "7px"
    start(page)
