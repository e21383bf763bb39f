"""The models as the last migration leaves them."""

import uuid

from django.conf import settings
from django.db import models


class Author(models.Model):
    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=60, unique=True)


class Genre(models.Model):
    id = models.BigAutoField(primary_key=True)
    label = models.SlugField()


class Book(models.Model):
    id = models.BigAutoField(primary_key=True)
    title = models.CharField(max_length=120, db_index=True)
    slug = models.SlugField(unique=True)
    mark = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    genres = models.ManyToManyField(Genre)
    page_count = models.BigIntegerField(default=0)
    price = models.DecimalField(max_digits=9, decimal_places=2, null=True)
    data = models.JSONField(default=dict)

    class Meta:
        indexes = [models.Index(fields=["author", "title"], name="shelf_by_author")]
        constraints = [
            models.CheckConstraint(condition=models.Q(page_count__gte=0), name="shelf_pages_positive"),
            models.UniqueConstraint(fields=["author", "title"], name="shelf_one_title"),
        ]
