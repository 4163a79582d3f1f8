"""The hub of the browser tests: the first part of a user's name says which profiles they see."""

# ruff: noqa: F821  (JupyterHub provides `c`)

c.JupyterHub.load_groups = {"gpu": {"users": ["gpu-member"]}}
# They end with the cluster.
c.JupyterHub.cleanup_servers = False
c.KubeSpawner.storage_pvc_ensure = False
c.KubeSpawner.volumes = {}
c.KubeSpawner.volume_mounts = {}
# Whatever answers; what runs behind the hub's proxy is of no interest here.
c.KubeSpawner.cmd = ["python3", "-m", "http.server", "--bind", "0.0.0.0", "8888"]
c.KubeSpawner.args = []
c.KubeSpawner.poll_interval = 1

IMAGES = {
    "display_name": "Image",
    "choices": {
        "scipy": {
            "display_name": "SciPy",
            "kubespawner_override": {"image": "quay.io/jupyter/scipy-notebook:2026-10"},
        },
        "r": {
            "display_name": "R",
            "kubespawner_override": {"image": "quay.io/jupyter/r-notebook:2026-10"},
        },
    },
    "unlisted_choice": {
        "enabled": True,
        "display_name": "Name of the image",
        "display_name_in_choices": "Another image…",
        "validation_regex": r"quay\.io/jupyter/[a-z-]+:[\w.-]+",
        "validation_message": "An image of quay.io/jupyter with its tag",
        "kubespawner_override": {"image": "{value}"},
    },
}
MEMORY = {
    "display_name": "Memory",
    "number": {
        "min": 1,
        "max": 8,
        "step": 0.5,
        "default": 2,
        "unit": "GB",
        "kubespawner_override": {"mem_limit": "{value}G"},
    },
}
SHOWCASE = [
    {
        "display_name": "Minimal",
        "slug": "minimal",
        "description": (
            "Python and a <strong>terminal</strong>, for a first look. "
            '<a href="https://jupyter.org/try" target="_blank" rel="noopener">What is in it</a>'
        ),
        "kubespawner_override": {"mem_limit": "512M"},
    },
    {
        "display_name": "Course work",
        "slug": "course",
        "description": "What the exercises of this term need.",
        "profile_options": {"image": IMAGES, "memory": MEMORY},
    },
    {
        "display_name": "Machine learning",
        "slug": "ml",
        "description": "Notebooks that train. Graphics cards are scarce: please stop when done.",
        "profile_options": {
            "card": {
                "display_name": "Graphics card",
                "choices": {
                    "none": {"display_name": "None"},
                    "t4": {"display_name": "T4, 16 GB"},
                    "a100": {"display_name": "A100, 80 GB"},
                },
            },
            "count": {
                "display_name": "How many",
                "description": "More than one only helps programs that are written for it.",
                "number": {"min": 1, "max": 4, "step": 1, "default": 1},
                "show_if": {"card": ["t4", "a100"]},
            },
            "project": {
                "display_name": "Project",
                "unlisted_choice": {
                    "enabled": True,
                    "display_name": "Project that pays",
                    "validation_regex": "[a-z]{3}-[0-9]{3}",
                    "validation_message": "Three letters, a dash, three digits",
                    "kubespawner_override": {"environment": {"PROJECT": "{value}"}},
                },
                "show_if": {"card": "a100"},
            },
        },
    },
]
SUBJECTS = ["Statistics", "Machine learning", "Géographie", "Physics", "Linguistics"]
MANY = [
    {
        "display_name": f"Course {number:03}",
        "slug": f"course-{number:03}",
        "description": f"{SUBJECTS[number % 5]}, group {number % 7}",
        "profile_options": {"image": IMAGES, "memory": MEMORY},
    }
    for number in range(1, 101)
]
GROUPS = [
    {
        "display_name": "For all",
        "slug": "all",
        "profile_options": {
            "size": {
                "display_name": "Size",
                "choices": {"small": {}, "huge": {"allowed_groups": ["gpu"]}},
            },
        },
    },
    {"display_name": "With a graphics card", "slug": "gpu", "allowed_groups": ["gpu"]},
    {
        "display_name": "For callables",
        "slug": "callable",
        "allowed": lambda spawner: spawner.user.name == "gpu-member",
    },
]
# Text of the administrator that looks like markup where only text is meant.
MARKUP = [
    {
        "display_name": "<em>Small</em> & <code>cheap</code>",
        "slug": "markup",
        "description": "A <b>bold</b> word, 1 &lt; 2",
        "profile_options": {
            "o": {
                "display_name": "An <i>option</i>",
                "choices": {
                    '"><script>document.title = "gone wrong"</script>': {"display_name": "a < b"},
                    "plain": {"display_name": "with <b>tags</b> & more"},
                },
                "unlisted_choice": {
                    "enabled": True,
                    "validation_regex": '[^"<>]*',
                    "validation_message": 'No quotes " and no <brackets>',
                },
            },
        },
    },
]
# The same list before and after the administrator removed what people had chosen.
BEFORE = [
    {"display_name": "First", "slug": "first"},
    {
        "display_name": "Second",
        "slug": "second",
        "profile_options": {
            "size": {"display_name": "Size", "choices": {"small": {}, "old": {}, "new": {}}},
            "memory": MEMORY,
        },
    },
    {"display_name": "Old", "slug": "old"},
]
AFTER = [
    {"display_name": "First", "slug": "first"},
    {
        "display_name": "Second",
        "slug": "second",
        "profile_options": {
            "size": {"display_name": "Size", "choices": {"small": {}, "new": {}}},
            "memory": MEMORY,
        },
    },
]
PULLS = [
    {
        "display_name": "Data science",
        "slug": "there",
        "kubespawner_override": {"image": "quay.io/jupyter/datascience-notebook:2026-10"},
    },
    {
        "display_name": "Misspelt",
        "slug": "missing",
        # The embedded cluster finds no image of this domain.
        "kubespawner_override": {"image": "registry.invalid/jupyter/datascience-notebok:2026-10"},
    },
]
LISTS = {
    "pull": PULLS,
    "show": SHOWCASE,
    "many": MANY,
    "gpu": GROUPS,
    "group": GROUPS,
    "markup": MARKUP,
}


def profiles_of(spawner):
    """Return the list that this user's name begins with."""
    kind = spawner.user.name.split("-")[0]
    if kind == "stale":
        return AFTER if (directory / "shrunk").exists() else BEFORE
    return LISTS[kind]


c.KubeSpawner.profile_list = profiles_of
