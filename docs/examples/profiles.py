c.KubeSpawner.profile_list = [
    {
        "display_name": "Small",
        "slug": "small",
        "description": "For reading and writing: 1 processor, 1 GB",
        "default": True,
        "kubespawner_override": {"cpu_limit": 1, "mem_limit": "1G"},
    },
    {
        "display_name": "Choose",
        "slug": "choose",
        "profile_options": {
            "image": {
                "display_name": "Software",
                "choices": {
                    "science": {
                        "display_name": "Python",
                        "default": True,
                        "kubespawner_override": {
                            "image": "quay.io/jupyter/scipy-notebook:2025-03-10"
                        },
                    },
                    "r": {
                        "display_name": "R",
                        "kubespawner_override": {"image": "quay.io/jupyter/r-notebook:2025-03-10"},
                    },
                },
                "unlisted_choice": {
                    "enabled": True,
                    "display_name": "Another image",
                    "validation_regex": r"quay\.io/jupyter/[a-z-]+:[\w.-]+",
                    "validation_message": "An image of quay.io/jupyter, with its tag",
                    "kubespawner_override": {"image": "{value}"},
                },
            },
            "memory": {
                "display_name": "Memory",
                "number": {
                    "min": 1,
                    "max": 16,
                    "default": 2,
                    "unit": "GB",
                    "kubespawner_override": {"mem_guarantee": "{value}G", "mem_limit": "{value}G"},
                },
            },
        },
    },
    {
        "display_name": "GPU",
        "slug": "gpu",
        "allowed_groups": ["research"],
        "kubespawner_override": {
            "extra_resource_limits": {"nvidia.com/gpu": "1"},
            "node_selector": {"accelerator": "nvidia"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            "start_timeout": 900,
        },
    },
]
